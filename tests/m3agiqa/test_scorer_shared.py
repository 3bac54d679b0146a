"""Several aspects of one judge: one base model for all whose adapters allow it, one reading of each image."""

import sys
import threading
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from m3agiqa import given, score_files
from m3agiqa.batches import batches
from m3agiqa.card import read_card, write_card
from m3agiqa.errors import InputError
from m3agiqa.given import Opened
from m3agiqa.head.model import load_head
from m3agiqa.image_list import ListedImage
from m3agiqa.judging import judging
from m3agiqa.mllm import adapters
from m3agiqa.overlap import alone
from m3agiqa.parts import Trained, groups
from m3agiqa.scorer import Scorer
from tests.tiny_mllm import load, lora, picture

IMAGES = [picture(seed) for seed in range(70, 75)]
PROMPTS = ["a red cube", "two balls left of a cone", "", "a cone", "x"]
PROFILE = {"max_length": 200, "max_new_tokens": 8}


def changed(part, folder, aspect="authenticity", **facts):
    """The part of another aspect, with another card."""
    write_card(read_card(part.card).model_copy(update={"aspect": aspect, **facts}), folder / f"{aspect}.json")
    return replace(part, card=folder / f"{aspect}.json")


@pytest.fixture(scope="module")
def bare(model, parts, tmp_path_factory):
    """Authenticity by the model as it came, without an adapter."""
    identity = load(model, **PROFILE).identity
    return changed(parts["quality"], tmp_path_factory.mktemp("bare"), adapted=False, identity=identity)


@pytest.fixture(scope="module")
def whole(model, parts, tmp_path_factory):
    """Authenticity by an adapter that holds a whole module."""
    folder = tmp_path_factory.mktemp("whole")
    fresh = load(model, **PROFILE)
    fresh.add_lora(lora(modules_to_save=["connector"]), seed=0)
    adapters.save(fresh.model, folder / "adapter")
    identity = load(model, adapter=folder / "adapter", **PROFILE).identity
    return replace(changed(parts["quality"], folder, identity=identity), adapter=folder / "adapter")


@pytest.fixture
def opened(monkeypatch):
    """Which images are read, and by which threads."""
    read, calls = given.open_image, []
    monkeypatch.setattr(
        given, "open_image", lambda image, name: calls.append((image, threading.current_thread())) or read(image, name)
    )
    return calls


def network(scorer, aspect):
    return scorer.loaded(aspect).mllm._network


def test_aspects_share_a_base_model_where_their_adapters_allow_it(parts, bare, whole):
    scorer = Scorer({**parts, "authenticity": bare}, device="cpu")
    assert len({id(network(scorer, aspect)) for aspect in scorer.aspects}) == 1
    assert [list(group) for group in groups({**parts, "authenticity": bare})] == [
        ["quality", "correspondence", "authenticity"]
    ]
    apart = {"quality": parts["quality"], "authenticity": whole, "correspondence": parts["correspondence"]}
    scorer = Scorer(apart, device="cpu")
    assert network(scorer, "quality") is network(scorer, "correspondence") is not network(scorer, "authenticity")
    assert [list(group) for group in groups(apart)] == [["quality", "correspondence"], ["authenticity"]]


def test_those_that_are_read_otherwise_do_not_share(parts, tmp_path):
    profile = read_card(parts["quality"].card).mllm.model_copy(update={"max_length": 199})
    other = changed(parts["quality"], tmp_path, mllm=profile)
    assert [list(group) for group in groups({"quality": parts["quality"], "authenticity": other})] == [
        ["quality"],
        ["authenticity"],
    ]


@pytest.mark.parametrize("third", ["bare", "whole"])
def test_together_they_give_what_each_gives_alone(model, parts, third, request):
    given = {**parts, "authenticity": request.getfixturevalue(third)}
    scorer = Scorer(given, device="cpu")
    found = [scorer(IMAGES, PROMPTS, aspect=aspect) for aspect in (*given, *reversed(given))]
    batch = [Opened.of(image, prompt) for image, prompt in zip(IMAGES, PROMPTS, strict=True)]
    for aspect, scores in zip((*given, *reversed(given)), found, strict=True):
        part, card = given[aspect], read_card(given[aspect].card)
        mllm = load(model, adapter=part.adapter if card.adapted else None, **PROFILE)
        trained = Trained(card, mllm, load_head(part.head), fast=False)
        assert scores == alone(judging(trained, batch, unfamiliar=False))


def test_one_call_for_all_aspects_is_a_call_for_each(parts, bare, tmp_path, opened):
    scorer = Scorer({**parts, "authenticity": bare}, device="cpu", batch=2)
    (tmp_path / "bad.png").write_text("no image")
    images, prompts = [*IMAGES, tmp_path / "bad.png"], [*PROMPTS, "a cone"]
    found = scorer.all(images, prompts)
    assert len(opened) == len(images)
    assert [list(scores) for scores in found] == [list(scorer.aspects)] * len(images)
    for aspect in scorer.aspects:
        assert [scores[aspect] for scores in found] == scorer(images, prompts, aspect=aspect)
    statuses = {aspect: [scores[aspect].status[:7] for scores in found] for aspect in scorer.aspects}
    assert statuses["quality"] == statuses["authenticity"] == ["ok"] * 5 + ["failed:"]
    assert statuses["correspondence"] == ["ok", "ok", "refused", "ok", "ok", "failed:"]
    assert scorer.all([]) == []


def test_overlapped_as_on_a_gpu_it_is_the_same(parts, bare, tmp_path, monkeypatch):
    """One image cannot be read, and one is too long for its batch, which is halved."""
    (tmp_path / "bad.png").write_text("no image")
    images, prompts = [*IMAGES, tmp_path / "bad.png"], [*PROMPTS[:-1], "very " * 200, "a cone"]
    scorer = Scorer({**parts, "authenticity": bare}, device="cpu", batch=2)
    alone = scorer.all(images, prompts)
    monkeypatch.setattr(Scorer, "threads", 2)
    assert scorer.all(images, prompts) == alone
    assert [scores["quality"].status[:7] for scores in alone] == ["ok"] * 4 + ["failed:"] * 2


def test_read_ahead_or_not_it_is_the_same(parts, tmp_path, opened):
    """Files are read by a thread, what is in memory by the caller's own."""
    files = [tmp_path / f"{place}.png" for place in range(len(IMAGES))]
    for file, image in zip(files, IMAGES, strict=True):
        image.save(file)
    scorer = Scorer(parts, device="cpu", batch=2)
    found = scorer.all(files, PROMPTS)
    assert threading.main_thread() not in {thread for _, thread in opened}
    opened.clear()
    assert scorer.all(IMAGES, PROMPTS) == found
    assert {thread for _, thread in opened} == {threading.main_thread()}
    mixed = scorer.all([file if place % 2 else IMAGES[place] for place, file in enumerate(files)], PROMPTS)
    assert mixed == found
    for rows in batches(parts["quality"], files, PROMPTS, 2):
        batch = scorer.score_batch([files[row] for row in rows], [PROMPTS[row] for row in rows], aspect="quality")
        assert batch == [found[row]["quality"] for row in rows]


def test_no_more_than_a_batch_is_read_ahead(parts, tmp_path, opened):
    picture(1).save(tmp_path / "1.png")
    scorer = Scorer(parts, device="cpu", batch=3)
    read = scorer.opened((tmp_path / "1.png", "") for _ in range(20))
    for taken in range(1, 21):
        next(read)
        assert len(opened) <= taken + 3
    assert next(read, None) is None


def test_an_adapter_that_does_not_fit_spoils_no_other(model, parts, tmp_path):
    quality = Scorer(parts, device="cpu")(IMAGES, PROMPTS, aspect="quality")
    for name in adapters.FILES:
        (tmp_path / name).write_bytes((parts["correspondence"].adapter / name).read_bytes())
    torn = (tmp_path / adapters.WEIGHTS).read_bytes()
    (tmp_path / adapters.WEIGHTS).write_bytes(torn[:-100])
    scorer = Scorer({**parts, "correspondence": replace(parts["correspondence"], adapter=tmp_path)}, device="cpu")
    scorer.loaded("quality")
    with pytest.raises(InputError, match="cannot be used"):
        scorer.loaded("correspondence")
    assert scorer(IMAGES, PROMPTS, aspect="quality") == quality
    (tmp_path / adapters.WEIGHTS).write_bytes(torn)
    for aspect in scorer.aspects:
        assert scorer(IMAGES, PROMPTS, aspect=aspect) == Scorer(parts, device="cpu")(IMAGES, PROMPTS, aspect=aspect)


def test_an_adapter_of_another_aspect_is_refused_and_forgotten(model, parts, tmp_path):
    """Its settings, too: the right one under the same name has its own."""
    fresh = load(model, **PROFILE)
    fresh.add_lora(lora(r=3, alpha=1), seed=0)
    adapters.save(fresh.model, tmp_path)
    scorer = Scorer({**parts, "correspondence": replace(parts["correspondence"], adapter=tmp_path)}, device="cpu")
    scorer.loaded("quality")
    with pytest.raises(InputError, match="not the adapter or the MLLM"):
        scorer.loaded("correspondence")
    for name in adapters.FILES:
        (tmp_path / name).write_bytes((parts["correspondence"].adapter / name).read_bytes())
    for aspect in scorer.aspects:
        assert scorer(IMAGES, PROMPTS, aspect=aspect) == Scorer(parts, device="cpu")(IMAGES, PROMPTS, aspect=aspect)


def test_a_frame_has_a_row_an_image_and_aspect(parts, tmp_path):
    IMAGES[0].save(tmp_path / "0.png")
    scorer = Scorer(parts, device="cpu")
    images, prompts = [tmp_path / "0.png", IMAGES[1], b"no image"], ["a cube", None, "a cone"]
    frame, found = scorer.frame(images, prompts), scorer.all(images, prompts)
    assert list(frame.index) == [0, 0, 1, 1, 2, 2]
    assert list(frame["aspect"]) == ["quality", "correspondence"] * 3
    assert list(frame["image"].dropna().unique()) == [str(tmp_path / "0.png")]
    for position, scores in enumerate(found):
        for (_, row), score in zip(frame.loc[position].iterrows(), scores.values(), strict=True):
            assert row["status"] == score.status
            assert row["warnings"] == list(score.warnings)
            if score.score is not None:
                assert (row["score"], row["low"], row["high"]) == (score.score, *score.interval)
                assert (row["score_0_5"], row["description"]) == (score.score_0_5, score.description)
    assert list(frame["score"].isna()) == [score.score is None for scores in found for score in scores.values()]
    one = scorer.frame(images, prompts, aspect="quality")
    pd.testing.assert_frame_equal(one, frame[frame["aspect"] == "quality"])
    assert list(scorer.frame([]).columns) == list(frame.columns)
    assert dict(scorer.frame([]).dtypes)["score"] == dict(frame.dtypes)["score"] == "float64"


def test_its_columns_are_those_of_predicts_table(parts, tmp_path):
    scorer = Scorer(parts, device="cpu")
    scores = list(scorer.all(IMAGES[:1], PROMPTS[:1])[0].values())
    score_files.write([score_files.Scored(ListedImage("0.png", Path("0.png"), ""), scores)], tmp_path)
    assert list(pd.read_csv(tmp_path / "scores.csv").columns) == list(scorer.frame(IMAGES[:1], PROMPTS[:1]).columns)


def test_a_frame_without_pandas_is_refused_before_anything_is_scored(parts, monkeypatch, opened):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="a frame needs pandas, which is not installed: pip install pandas"):
        Scorer(parts, device="cpu").frame(IMAGES)
    assert opened == []


def test_an_aspect_that_is_not_here_is_said_before_anything_is_read(parts, opened):
    scorer = Scorer(parts, device="cpu")
    for ask in (scorer, scorer.frame):
        with pytest.raises(InputError, match="'authenticity' is not here"):
            ask(IMAGES, aspect="authenticity")
    assert opened == []
