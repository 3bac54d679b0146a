"""Many images, scored and kept: each read once for all aspects, in flat memory; a cut run ends in the same scores."""

import gc
import shutil
import time
import weakref
from contextlib import ExitStack
from dataclasses import replace
from math import ceil

import pytest

from m3agiqa import given, judging
from m3agiqa import parts as loading
from m3agiqa.card import read_card, write_card
from m3agiqa.given import Opened
from m3agiqa.image_list import ListedImage
from m3agiqa.mllm import adapters
from m3agiqa.scored_images import scored
from m3agiqa.scorer import Scorer
from tests.tiny_mllm import load, lora, picture

PROMPTS = ["a red cube", "two balls left of a cone, under green light", "a cone", "", "кот", "xx", "a blue ball", "a b"]


@pytest.fixture
def images(tmp_path):
    made = []
    for place, prompt in enumerate(PROMPTS):
        picture(100 + place).save(tmp_path / f"{place}.png")
        made.append(ListedImage(f"{place}.png", tmp_path / f"{place}.png", prompt))
    (tmp_path / "bad.png").write_text("no image")
    return [*made, ListedImage("bad.png", tmp_path / "bad.png", "a red cube")]


@pytest.fixture
def with_a_whole_module(model, parts, tmp_path):
    """Three aspects, the second with an adapter that wants a model of its own."""
    fresh = load(model, max_length=200)
    fresh.add_lora(lora(modules_to_save=["connector"]), seed=0)
    adapters.save(fresh.model, tmp_path / "whole")
    identity = load(model, max_length=200, adapter=tmp_path / "whole").identity
    card = read_card(parts["quality"].card).model_copy(update={"aspect": "authenticity", "identity": identity})
    write_card(card, tmp_path / "whole.json")
    whole = replace(parts["quality"], card=tmp_path / "whole.json", adapter=tmp_path / "whole")
    return {"quality": parts["quality"], "authenticity": whole, "correspondence": parts["correspondence"]}


def found(images, parts, folder, **options):
    """Each image's scores."""
    with ExitStack() as kept:
        return [row.scores for row in scored(images, parts, folder, kept=kept, device="cpu", batch=3, **options)]


def test_it_is_what_a_scorer_gives(images, parts, tmp_path):
    scorer = Scorer(parts, device="cpu", batch=3)
    rows = scorer.all([image.path for image in images], [image.prompt for image in images])
    assert found(images, parts, tmp_path / "out") == [list(row.values()) for row in rows]


def test_each_image_is_read_once_for_all_aspects_and_never_again(images, parts, tmp_path, monkeypatch):
    read, opened = given.open_image, []
    monkeypatch.setattr(given, "open_image", lambda path, name: opened.append(path.name) or read(path, name))
    first = found(images, parts, tmp_path / "out")
    assert sorted(opened) == sorted(image.name for image in images)
    opened.clear()
    assert found(images, parts, tmp_path / "out") == first
    assert opened == []
    found(images, {"quality": parts["quality"]}, tmp_path / "one")
    shutil.copytree(tmp_path / "one/.cache/quality", tmp_path / "mixed/.cache/quality")
    opened.clear()
    assert found(images, parts, tmp_path / "mixed") == first  # and for those aspects alone that lack a score
    assert sorted(opened) == sorted(image.name for image in images)


def test_a_run_that_is_cut_anywhere_ends_in_the_same_scores(images, parts, tmp_path, monkeypatch):
    whole = found(images, parts, tmp_path / "whole")
    forward, left = judging._forward, []

    def dies(*given):
        if not left:
            raise KeyboardInterrupt
        return left.pop() and forward(*given)

    for cut in range(len(parts) * ceil(len(images) / 3)):
        left[:] = [True] * cut
        monkeypatch.setattr(judging, "_forward", dies)
        with pytest.raises(KeyboardInterrupt):
            found(images, parts, tmp_path / f"cut-{cut}")
        monkeypatch.setattr(judging, "_forward", forward)
        assert found(images, parts, tmp_path / f"cut-{cut}") == whole


def test_two_batches_of_images_are_in_memory_and_no_more(images, parts, tmp_path, monkeypatch):
    make, forward, made, alive = Opened.of, judging._forward, [], []

    def noted(*given):
        one = make(*given)
        made.append(weakref.ref(one.image))
        return one

    def counted(*given):
        time.sleep(0.01)  # for the thread to go as far as it may
        alive.append(sum(each() is not None for each in made))
        return forward(*given)

    monkeypatch.setattr(Opened, "of", noted)
    monkeypatch.setattr(judging, "_forward", counted)
    many = [replace(image, prompt=f"{copy}") for copy in range(5) for image in images[:-1]]
    found(many, parts, tmp_path / "out")
    assert len(made) == len(many)
    assert max(alive) == 2 * 3


def test_one_base_model_is_in_memory_at_a_time(images, with_a_whole_module, tmp_path, monkeypatch):
    load_one, networks = loading.LocalMLLM.load, []

    def loaded(*given, **options):
        gc.collect()
        assert [each() for each in networks] == [None] * len(networks)
        mllm = load_one(*given, **options)
        networks.append(weakref.ref(mllm._network))
        return mllm

    monkeypatch.setattr(loading.LocalMLLM, "load", loaded)
    rows = found(images, with_a_whole_module, tmp_path / "out")
    assert len(networks) == 2  # one for quality and correspondence, one for authenticity
    assert [[score.aspect for score in row] for row in rows] == [["quality", "authenticity", "correspondence"]] * 9
    for place, (aspect, part) in enumerate(with_a_whole_module.items()):
        monkeypatch.undo()
        alone = found(images, {aspect: part}, tmp_path / aspect)
        assert [row[place] for row in rows] == [row[0] for row in alone]
