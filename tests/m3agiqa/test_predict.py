"""m3agiqa predict: what it is asked, what it writes, what it says when something is wrong."""

import argparse
import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from transformers import logging

from m3agiqa import judging, model_paths, scored_images
from m3agiqa.commands import predict
from m3agiqa.errors import InputError
from m3agiqa.workspace import parts_here
from tests import tiny_mllm
from tests.tiny_mllm import picture
from tests.trained import rated_on, trained

logging.disable_progress_bar()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Read-only: quality and correspondence of the data set `made`."""
    folder = tmp_path_factory.mktemp("built")
    return trained(tiny_mllm.smolvlm(folder / "smolvlm"), folder, ("quality", "correspondence"))


@pytest.fixture
def clone(built, tmp_path, monkeypatch):
    """A folder with both aspects, as the stages leave them, and five images to score."""
    monkeypatch.chdir(tmp_path)
    for aspect, part in built.items():
        places = [
            (getattr(model_paths, name), getattr(part, name)) for name in ("card", "adapter", "head", "fast_head")
        ]
        for place, folder in places:
            place("made", aspect).parent.mkdir(parents=True, exist_ok=True)
            place("made", aspect).symlink_to(folder)
    Path("images").mkdir()
    for number in range(5):
        picture(40 + number).save(f"images/{number}.png")


def run(*given, out="out"):
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    source = [] if {"--bundle", "--dataset"} & set(given) else ["--dataset", "made"]
    predict.run(parser.parse_args(["--batch", "2", *map(str, given), *source, "--out", out, "--device", "cpu"]))


def written(out="out") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(out).iterdir()) if path.is_file()}


def table(*rows: str) -> Path:
    Path("asked.csv").write_text("image,prompt\n" + "\n".join(rows) + "\n")
    return Path("asked.csv")


def test_one_image(clone, capsys):
    run("images/0.png", "--prompt", "a red cube")
    said = capsys.readouterr()
    assert said.out.startswith('images/0.png  "a red cube"\n  quality ')
    assert "predict: authenticity is left out: make judge" in said.err
    found = pd.read_csv("out/scores.csv")
    assert list(found["aspect"]) == ["quality", "correspondence"]
    assert (found["low"] <= found["score"]).all()
    lines = [json.loads(line) for line in Path("out/scores.jsonl").read_text().splitlines()]
    assert [line["score"] for line in lines] == list(found["score"])
    assert set(written()) == {"scores.csv", "scores.jsonl", "gallery.html"}


def test_several_images_of_one_prompt(clone):
    run("images/3.png", "images/0.png", "--prompt", "a red cube", "--aspect", "correspondence")
    found = pd.read_csv("out/scores.csv")
    assert list(found["image"]) == ["images/3.png", "images/0.png"]
    assert set(found["prompt"]) == {"a red cube"}
    assert set(found["status"]) == {"ok"}


def test_a_csv_keeps_its_order_and_a_bad_image_is_named(clone, capsys):
    asked = table(
        "images/3.png,a longer prompt than the others", "images/none.png,x", 'images/1.png,"a, b"', "images/3.png,a"
    )
    with pytest.raises(SystemExit) as ended:
        run("--table", asked, "--aspect", "quality")
    assert ended.value.code == predict.SOME_FAILED
    found = pd.read_csv("out/scores.csv")
    assert list(found["image"]) == ["images/3.png", "images/none.png", "images/1.png", "images/3.png"]
    assert list(found["status"].str[:6]) == ["ok", "failed", "ok", "ok"]
    assert list(found["score"].isna()) == [False, True, False, False]
    said = capsys.readouterr().err
    assert "predict: images/none.png, quality: failed: images/none.png: no such image file" in said
    assert "1 of 4 scores are missing" in said


def test_a_table_in_columns_and_formats_of_ones_own(clone):
    rows = [{"file": f"images/{number}.png", "text": "a red cube", "model": f"m{number % 2}"} for number in range(3)]
    pd.DataFrame(rows).to_parquet("asked.parquet")
    columns = ("--image-column", "file", "--prompt-column", "text")
    run("--table", "asked.parquet", *columns, "--wide", "--parquet")
    found = pd.read_parquet("out/scores.parquet")
    assert list(found["image"]) == [row["file"] for row in rows]
    assert list(found["model"]) == ["m0", "m1", "m0"]
    assert set(found["prompt"]) == {"a red cube"}
    table = pd.read_csv("out/scores.csv")
    for aspect in ("quality", "correspondence"):
        assert list(table[f"{aspect}_score"]) == list(found[f"{aspect}_score"])
        run("--table", "asked.parquet", *columns, "--aspect", aspect)
        assert list(pd.read_csv("out/scores.csv")["score"]) == list(table[f"{aspect}_score"])


def test_parquet_that_cannot_be_written_is_known_before_anything_is_scored(clone, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match="--parquet: Parquet needs pyarrow"):
        run("images/0.png", "--parquet")
    assert not Path("out").exists()


def test_a_folder_has_no_prompts(clone, capsys):
    Path("images/notes.txt").write_text("no image")
    Path("images/deeper").mkdir()
    shutil.copy("images/0.png", "images/deeper/5.png")
    run("--folder", "images")
    found = pd.read_csv("out/scores.csv")
    names = [*(f"{number}.png" for number in range(5)), "deeper/5.png"]
    assert list(found.loc[found["aspect"] == "quality", "image"]) == names
    assert "left out, for no images: images/notes.txt" in capsys.readouterr().err
    assert found.loc[found["aspect"] == "quality", "warnings"].str.contains("asked without one").all()
    refused = found[found["aspect"] == "correspondence"]
    assert set(refused["status"]) == {"refused: correspondence needs the prompt"}


def test_a_cut_run_goes_on_and_ends_in_the_same_bytes(clone, monkeypatch):
    asked = table(*(f"images/{number}.png,{'a' * number}" for number in range(5)))
    run("--table", asked, "--aspect", "quality")
    whole = written()
    for journal in Path("out/.cache").rglob("journal.jsonl"):
        lines = journal.read_bytes().splitlines(keepends=True)
        assert len(lines) == 5
        journal.write_bytes(b"".join(lines[:3]) + lines[3][:20])  # killed in the middle of the second batch

    passes = passes_of(monkeypatch)
    run("--table", asked, "--aspect", "quality")
    assert passes == [2, 1]
    assert written() == whole


def passes_of(monkeypatch):
    """How many images each forward pass from here on is of."""
    forward, passes = judging._forward, []
    monkeypatch.setattr(judging, "_forward", lambda *given: passes.append(len(given[1])) or forward(*given))
    return passes


def test_one_more_image_costs_one_more_image(clone, monkeypatch):
    rows = [f"images/{number}.png,{'a ' * number}cube" for number in range(4)]
    run("--table", table(*rows), "--aspect", "quality")
    before = pd.read_csv("out/scores.csv")
    passes = passes_of(monkeypatch)
    run("--table", table("images/4.png,a a cube", *reversed(rows)), "--aspect", "quality")
    assert passes == [1]
    after = pd.read_csv("out/scores.csv")
    pd.testing.assert_frame_equal(after[1:][::-1].reset_index(drop=True), before)
    run("images/2.png", "--prompt", "a a cube", "--aspect", "quality")
    assert passes == [1]
    run("images/2.png", "--prompt", "another cube", "--aspect", "quality")
    assert passes == [1, 1]


def test_a_picture_that_stands_there_twice_is_scored_once(clone, monkeypatch):
    for copy in ("images/copy.png", "deep/copy.png"):
        Path(copy).parent.mkdir(exist_ok=True)
        shutil.copy("images/1.png", copy)
    passes = passes_of(monkeypatch)
    asked = ("images/1.png", "images/copy.png", "images/2.png", "deep/copy.png", "images/1.png")
    run("--table", table(*(f"{path},a cube" for path in asked)), "--aspect", "quality")
    assert passes == [2]
    found = pd.read_csv("out/scores.csv")
    assert list(found["image"]) == list(asked)
    assert len(set(found["score"][[0, 1, 3, 4]])) == 1 < len(set(found["score"]))


def test_copies_of_what_is_no_image_are_each_named(clone, capsys):
    for name in ("x.png", "y.png"):
        Path("images", name).write_text("no image")
    asked = ("images/x.png", "images/0.png", "images/y.png", "images/gone.png", "images/lost.png", "images/x.png")
    for _ in range(2):  # anew, and from the journal
        with pytest.raises(SystemExit):
            run("--table", table(*(f"{path},a cube" for path in asked)), "--aspect", "quality")
        found = pd.read_csv("out/scores.csv")
        for path, status in zip(asked, found["status"], strict=True):
            assert status == "ok" if path == "images/0.png" else status.startswith(f"failed: {path}: ")
    Path("images/x.png").write_bytes(Path("images/3.png").read_bytes())
    with pytest.raises(SystemExit):
        run("--table", table(*(f"{path},a cube" for path in asked)), "--aspect", "quality")
    assert list(pd.read_csv("out/scores.csv")["status"].str[:6]) == ["ok", "ok", "failed", "failed", "failed", "ok"]


@pytest.mark.parametrize("before", [None, b"no image"])
def test_a_picture_that_changes_on_the_way_is_not_kept(clone, monkeypatch, before):
    """It was looked at as one thing and scored as another: under which name should it stay?"""
    if before is not None:
        Path("images/late.png").write_bytes(before)
    work = scored_images._Work._score

    def late(*given):
        shutil.copy("images/0.png", "images/late.png")
        return work(*given)

    with monkeypatch.context() as context:
        context.setattr(scored_images._Work, "_score", late)
        with pytest.raises(InputError, match=r"images/late\.png: changed while it was to be scored"):
            run("images/late.png", "images/1.png", "--aspect", "quality")
    Path("images/late.png").unlink()
    with pytest.raises(SystemExit):
        run("images/late.png", "images/gone.png", "--aspect", "quality")
    assert list(pd.read_csv("out/scores.csv")["status"].str[:6]) == ["failed", "failed"]


def test_what_another_training_scored_is_not_taken(clone, built, tmp_path):
    asked = "images/0.png", "--aspect", "quality"
    run(*asked)
    before = pd.read_csv("out/scores.csv").loc[0]
    card = model_paths.card("made", "quality")
    card.unlink()
    card.symlink_to(rated_on((1, 5), built["quality"], tmp_path / "another").card)
    run(*asked)
    after = pd.read_csv("out/scores.csv").loc[0]
    assert (after["scale_low"], after["score_0_5"]) == (1, before["score_0_5"])


def test_a_data_sets_own_table_will_do(clone):
    """The column `name` and a folder images/ beside it, as for training."""
    Path("data.csv").write_text("name,prompt,mos_quality\n1.png,a,3\n")
    run("--table", "data.csv", "--aspect", "quality")
    assert list(pd.read_csv("out/scores.csv")["status"]) == ["ok"]


def test_several_data_sets_need_a_choice(clone, built):
    card = json.loads(built["quality"].card.read_text())
    for kind in ("adapter", "head", "fast_head"):
        Path(f"models/{kind}s/other-quality").symlink_to(getattr(built["quality"], kind))
    Path("models/cards/other-quality.json").write_text(json.dumps(card | {"dataset": "other"}))
    with pytest.raises(InputError, match=r"choose one with --dataset \(made, other\)"):
        parts_here()
    run("images/0.png", "--dataset", "other")
    assert list(pd.read_csv("out/scores.csv")["aspect"]) == ["quality"]


def test_a_mended_image_is_scored(clone):
    asked = table("images/0.png,a", "images/5.png,b")
    with pytest.raises(SystemExit):
        run("--table", asked, "--aspect", "quality")
    picture(50).save("images/5.png")
    run("--table", asked, "--aspect", "quality")
    assert list(pd.read_csv("out/scores.csv")["status"]) == ["ok", "ok"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--folder", "nowhere"), "nowhere: no such folder"),
        (("--folder", "models"), "models: no images here"),
        (("--table", "none.csv"), "none.csv: no such file"),
        (("--table", "images/0.png"), "row 1: not UTF-8"),
        (("images/0.png", "--aspect", "correspondence"), "images/0.png has none"),
        (
            ("images/0.png", "--aspect", "authenticity"),
            r"no authenticity in this clone \(only quality, correspondence\): make judge",
        ),
        (("--folder", "images", "--prompt", "x"), "--prompt belongs to images that are named"),
        (("images/0.png", "--bundle", "images"), "images: no bundle here"),
        (("images/0.png", "--dataset", "other"), "nothing here was trained on other, only on made"),
        (("images/0.png", "--batch", "0"), "--batch is 0, expected 1 or more"),
        (("images/0.png", "--image-column", "x"), "--image-column and --prompt-column are columns of a --table"),
    ],
)
def test_bad_input_is_one_line(clone, given, message):
    with pytest.raises(InputError, match=message) as error:
        run(*given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,prompt\nx,y\n", "row 1: expected a column image or name; it has file, prompt"),
        ("image,prompt\nx\n", "row 2: 1 fields, expected 2"),
        ("image,prompt\n ,y\n", "row 2: image is empty"),
        ("image,prompt\n", "no rows, expected one for each image"),
        ("", "row 1: expected a column image or name; it has none"),
    ],
)
def test_a_bad_table_names_its_row(clone, text, message):
    Path("asked.csv").write_text(text)
    with pytest.raises(InputError, match=rf"asked.csv(, |: ){message}"):
        run("--table", "asked.csv")
