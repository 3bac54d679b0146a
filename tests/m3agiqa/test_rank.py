"""m3agiqa rank: candidates of a prompt in order, ties, winners copied, and what is refused."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from m3agiqa import bundle
from m3agiqa.card import read_card, write_card
from m3agiqa.commands import rank
from m3agiqa.errors import InputError
from m3agiqa.model_card import render
from m3agiqa.ranking import best, preferred, ranks
from tests.tiny_mllm import picture


@pytest.fixture(scope="module")
def judges(parts, tmp_path_factory):
    """Read-only: a judge that is sure of small differences, and one that could not learn how sure to be."""
    folder = tmp_path_factory.mktemp("judges")
    for name, spread in (("sure", 0.05), ("blind", None)):
        part = replace(parts["quality"], card=folder / f"{name}.json")
        card = read_card(parts["quality"].card)
        preference = card.head.preference.model_copy(update={"spread": spread})
        head = card.head.model_copy(update={"preference": preference})
        write_card(card.model_copy(update={"head": head}), part.card)
        bundle.pack({"quality": part}, folder / name, render(bundle.cards({"quality": part})))
    return folder


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        picture(number).save(f"{number}.png")


def run(judges, *given, judge="sure"):
    parser = argparse.ArgumentParser()
    rank.add_arguments(parser)
    rank.run(parser.parse_args([*map(str, given), "--bundle", str(judges / judge), "--device", "cpu"]))
    return [json.loads(line) for line in Path("ranks/ranks.jsonl").read_text().splitlines()]


def test_candidates_of_one_prompt(judges, pictures, capsys):
    found = run(judges, *(f"{number}.png" for number in range(6)), "--prompt", "a red cube")
    scores = [row["score_0_5"] for row in found]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 6
    assert [row["rank"] for row in found] == ranks(scores, 0.05)
    assert [row["best"] for row in found] == pytest.approx(best(scores, 0.05), abs=1e-4)
    assert {row["candidates"] for row in found} == {6}
    assert list(pd.read_csv("ranks/ranks.csv")["image"]) == [row["image"] for row in found]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == '"a red cube"'
    assert [line.split()[3] for line in lines[1:7]] == [row["image"] for row in found]


def test_two_are_compared(judges, pictures, capsys):
    one, other = run(judges, "0.png", "1.png")
    assert one["best"] == pytest.approx(preferred(one["score_0_5"], other["score_0_5"], 0.05), abs=1e-4)
    assert one["best"] + other["best"] == pytest.approx(1, abs=2e-6)
    said = f"people prefer {one['image']} to {other['image']} with a probability of {one['best']:.0%}"
    assert said in capsys.readouterr().out.splitlines()


def test_groups_of_a_table_and_the_best_of_each(judges, pictures):
    rows = [("0", "a", 1), ("1", "b", 1), ("2", "a", 2), ("3", "b", 2), ("4", " a ", 2), ("5", "", 3)]
    pd.DataFrame(
        [(f"{image}.png", prompt, seed) for image, prompt, seed in rows], columns=["image", "prompt", "rank"]
    ).to_csv("asked.csv", index=False)
    by_prompt = run(judges, "--table", "asked.csv", "--best", 1)
    assert [row["image"] for row in by_prompt][-1] == "5.png"
    groups = [{row["image"] for row in by_prompt[:3]}, {row["image"] for row in by_prompt[3:5]}]
    assert groups == [{"0.png", "2.png", "4.png"}, {"1.png", "3.png"}]
    assert [row["candidates"] for row in by_prompt] == [3, 3, 3, 2, 2, 1]
    assert {row["image"]: row["given_rank"] for row in by_prompt} == {f"{row[0]}.png": str(row[2]) for row in rows}
    winners = [by_prompt[0]["image"], by_prompt[3]["image"], "5.png"]
    names = sorted(path.name for path in Path("ranks/best").iterdir())
    assert names == [f"{number:05d}-1-{image}" for number, image in enumerate(winners, start=1)]
    assert Path("ranks/best", names[0]).read_bytes() == Path(winners[0]).read_bytes()
    by_column = run(judges, "--table", "asked.csv", "--group-column", "rank", "--best", 9)
    assert [row["candidates"] for row in by_column] == [2, 2, 3, 3, 3, 1]
    assert len(list(Path("ranks/best").iterdir())) == 6


def test_what_has_no_score_comes_last(judges, pictures, capsys):
    Path("6.png").write_bytes(b"no image")
    with pytest.raises(SystemExit) as ended:
        run(judges, "6.png", "0.png", "1.png", "--best", 3)
    assert ended.value.code == 1
    rows = [json.loads(line) for line in Path("ranks/ranks.jsonl").read_text().splitlines()]
    assert [(row["image"], row["rank"], row["best"]) for row in rows][-1] == ("6.png", None, None)
    assert sum(row["best"] or 0 for row in rows) == pytest.approx(1, abs=1e-5)
    assert "rank: 6.png: failed" in capsys.readouterr().err
    assert len(list(Path("ranks/best").iterdir())) == 2


def test_a_users_columns_stay_apart(judges, pictures):
    Path("asked.csv").write_text("image,rank,given_rank,best\n0.png,7,8,9\n")
    (row,) = run(judges, "--table", "asked.csv")
    assert (row["rank"], row["given_rank"], row["given_given_rank"], row["given_best"]) == (1, "7", "8", "9")


def test_copies_replace_an_earlier_runs_and_nothing_else(judges, pictures):
    run(judges, "1.png", "2.png", "--best", 2)
    assert len(list(Path("ranks/best").iterdir())) == 2
    Path("ranks/best/20240101-1-mine.png").write_text("the user's own")
    Path("ranks/best/00009-1-folder").mkdir()
    long = f"{'a' * 248}.png"
    Path("0.png").rename(long)
    run(judges, long, "--best", 1)
    assert sorted(path.name for path in Path("ranks/best").iterdir()) == [
        f"00001-1-{'a' * 196}.png",
        "00009-1-folder",
        "20240101-1-mine.png",
    ]
    assert Path(f"ranks/best/00001-1-{'a' * 196}.png").read_bytes() == Path(long).read_bytes()
    with pytest.raises(InputError, match="images to be ranked lie here"):
        run(judges, "ranks/best/20240101-1-mine.png", "1.png", "--best", 1)
    run(judges, "1.png")  # without --best none is left that would tell of another list
    assert sorted(path.name for path in Path("ranks/best").iterdir()) == ["00009-1-folder", "20240101-1-mine.png"]


def test_a_folder_can_be_ranked_again_into_itself(judges, pictures):
    first = run(judges, "--folder", ".", "--best", 2)
    assert run(judges, "--folder", ".", "--best", 2) == first
    assert {row["candidates"] for row in first} == {6}


@pytest.mark.parametrize(
    ("given", "judge", "said"),
    [
        (["0.png"], "blind", "had too few images to learn how sure an order is"),
        (["0.png", "--best", "0"], "sure", "--best is 0, expected 1 or more"),
        (["0.png", "--aspect", "authenticity"], "sure", "no authenticity in"),
        (["0.png", "--group-column", "x"], "sure", "--group-column is a column of a --table or a --tar"),
        (["--table", "asked.csv", "--group-column", "x"], "sure", "0.png: no column 'x' to make groups by"),
        (["--table", "asked.csv", "--group-column", "prompt"], "sure", "prompts make them without it"),
    ],
)
def test_what_is_refused(judges, pictures, given, judge, said):
    Path("asked.csv").write_text("image\n0.png\n")
    with pytest.raises(InputError, match=said):
        run(judges, *given, judge=judge)
