"""The judge that writes no description: what it reads, what it says, and what it does not do."""

import csv
import json
import pickle
import re

import pytest
import torch
from pyarrow import parquet

from m3agiqa import gallery, score_files
from m3agiqa.answers import AspectScore
from m3agiqa.errors import InputError
from m3agiqa.head.batch import Batch, Row
from m3agiqa.head.model import load_head
from m3agiqa.image_list import ListedImage
from m3agiqa.mllm.conversation import conversation
from m3agiqa.ranking import preferred
from m3agiqa.score_files import Scored
from m3agiqa.scorer import Scorer
from m3agiqa.spans import Span
from tests import tiny_mllm
from tests.tiny_mllm import picture

IMAGES = [picture(seed, 20 + seed, 30) for seed in range(5)]
PROMPTS = ["a red cube", "", "two balls on a table, at night", "x", "a red cube"]


@pytest.fixture
def fast(parts):
    return Scorer(parts, device="cpu", batch=2, fast=True)


@pytest.mark.parametrize("kind", ["smolvlm", "qwen3_vl"])
def test_it_sees_what_is_read_up_to_the_description(tmp_path, kind):
    """In a batch, padded, or alone: the states of a prefix do not know what comes after it."""
    mllm = tiny_mllm.load(getattr(tiny_mllm, kind)(tmp_path / kind), max_length=400)
    asked = [conversation("quality", prompt) for prompt in PROMPTS]
    seen = mllm.look(mllm.inputs(IMAGES, asked))
    whole = mllm.read(IMAGES, [conversation("quality", prompt, "some words") for prompt in PROMPTS])
    for image, question, states, reading in zip(IMAGES, asked, seen, whole, strict=True):
        assert len(states) == reading.description.start
        assert torch.allclose(states, reading.states[: len(states)], atol=1e-5)
        (alone,) = mllm.look(mllm.inputs([image], [question]))
        assert torch.allclose(states, alone, atol=1e-5)


def test_nothing_is_kept_free_for_a_description_that_is_not_written(tmp_path):
    """What `read` saw whole is not taken in fewer views."""
    folder, views = tiny_mllm.smolvlm(tmp_path / "model"), [{"size": {"longest_edge": 32}}]
    mllm = tiny_mllm.load(folder, max_length=200, fewer_views=views)
    asked, image = conversation("quality", "a red cube"), picture(1, 120, 120)
    (reading,) = mllm.read([image], [conversation("quality", "a red cube", "Sharp.")])
    (seen,) = mllm.look(mllm.inputs([image], [asked]))
    assert len(seen) == reading.description.start
    assert torch.allclose(seen, reading.states[: len(seen)], atol=1e-5)


def test_the_score_is_its_own_heads_on_those_states(parts, fast):
    found = fast(IMAGES, PROMPTS, aspect="quality")
    trained = fast.loaded("quality")
    head = load_head(parts["quality"].fast_head)
    for image, prompt, score in zip(IMAGES, PROMPTS, found, strict=True):
        (reading,) = trained.mllm.read([image], [conversation("quality", prompt, "whatever")])
        states = reading.states[: reading.description.start]
        tensors = Batch.of([Row("", states, Span(len(states) - 1, len(states)))]).tensors
        with torch.no_grad():
            assert score.score == pytest.approx(head(*tensors).item(), abs=1e-4)
    whole = Scorer(parts, device="cpu")(IMAGES, PROMPTS, aspect="quality")
    assert all(abs(one.score - other.score) > 1e-3 for one, other in zip(found, whole, strict=True))


def test_it_writes_nothing(fast, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it writes")

    monkeypatch.setattr(type(fast.loaded("quality").mllm.model.get_base_model()), "generate", refuse)
    for score in fast(IMAGES, PROMPTS, aspect="quality"):
        assert (score.status, score.word, score.description) == ("ok", None, None)
        low, high = score.interval
        assert high - low == pytest.approx(1.4) or low == 0 or high == 5  # its own interval's width


def test_nothing_is_shown_of_what_it_does_not_say(fast, tmp_path):
    """Not in words either: on the terminal, on the pages, in the files, in a frame, over HTTP."""
    rows = []
    for number, scores in enumerate(fast.all(IMAGES, PROMPTS)):
        path = tmp_path / f"{number}.png"
        IMAGES[number].save(path)
        rows.append(Scored(ListedImage(path.name, path, PROMPTS[number]), list(scores.values())))
    gallery.write(rows, tmp_path)
    score_files.write(rows, tmp_path, parquet=True)
    page = (tmp_path / "gallery.html").read_text()
    panel = gallery.panel(rows[0].scores)
    for text in (gallery.table(rows), page, panel, (tmp_path / "scores.csv").read_text()):
        assert not re.search(r"\b(None|nan|null)\b", text)
    assert 'class="said"' not in page + panel
    assert "the word mean" not in page + panel
    lines = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    with (tmp_path / "scores.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    frame = fast.frame(IMAGES, PROMPTS)
    packed = parquet.read_table(tmp_path / "scores.parquet")
    answers = [AspectScore.of(score).model_dump() for row in rows for score in row.scores]
    for name in ("word", "description"):
        assert [line[name] for line in lines] == packed[name].to_pylist() == [None] * 10
        assert [row[name] for row in table] == [""] * 10
        assert [answer[name] for answer in answers] == [None] * 10
        assert frame[name].isna().all()
    assert {line["status"] for line in lines} == {"ok", "refused: correspondence needs the prompt"}


def test_a_pickled_one_is_as_fast(fast):
    again = pickle.loads(pickle.dumps(fast))  # noqa: S301
    assert again.fast
    assert again(IMAGES, PROMPTS, aspect="quality") == fast(IMAGES, PROMPTS, aspect="quality")


@pytest.mark.parametrize(("is_fast", "spread"), [(False, 0.4), (True, 0.6)])
def test_two_images_are_compared_by_what_that_head_learnt(parts, is_fast, spread):
    scorer = Scorer(parts, device="cpu", fast=is_fast)
    one, other = scorer(IMAGES[:2], aspect="quality")
    found = scorer.compare(IMAGES[0], IMAGES[1], aspect="quality")
    assert found == pytest.approx(preferred(one.score_0_5, other.score_0_5, spread), abs=1e-6)
    assert scorer.compare(IMAGES[1], IMAGES[0], aspect="quality") == 1 - found
    with pytest.raises(InputError, match="image 1: failed"):
        scorer.compare(IMAGES[0], b"no image", aspect="quality")


def test_candidates_are_ranked(parts):
    scorer = Scorer(parts, device="cpu")
    found = scorer.rank([*IMAGES, b"no image"], "a red cube", aspect="quality")
    assert [each.score for each in found[:5]] == scorer(IMAGES, ["a red cube"] * 5, aspect="quality")
    assert sum(each.best for each in found[:5]) == pytest.approx(1)
    best = max(found[:5], key=lambda each: each.score.score)
    assert best.rank == 1
    assert best.best == max(each.best for each in found[:5])
    assert (found[5].rank, found[5].best) == (None, None)
