"""The scorer: one answer an image, whatever stands beside it, in the order asked; never a score that is made up."""

import io
import math

import numpy as np
import pytest

from data.feature_store.store import FeatureStore
from data.feature_store.writer import FeatureWriter
from evaluation.predictions import predict
from m3agiqa.errors import InputError
from m3agiqa.head.model import load_head
from m3agiqa.mllm.conversation import conversation
from m3agiqa.scorer import Scorer
from m3agiqa.warnings.prompts import NO_PROMPT
from tests.stored import stored
from tests.tiny_mllm import picture

IMAGES = [picture(seed) for seed in range(20, 26)]
PROMPTS = ["a red cube", "two blue balls left of a cone, under green light", "", "кот", "x" * 40, "a sphere"]


def png(image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def scores(parts):
    return Scorer(parts, device="cpu")(IMAGES, PROMPTS, aspect="quality")


def same(ours, theirs):
    assert [score.description for score in ours] == [score.description for score in theirs]
    np.testing.assert_allclose([score.score for score in ours], [score.score for score in theirs], atol=1e-4)


def test_every_image_has_a_score_of_its_own(scores):
    assert [score.status for score in scores] == ["ok"] * len(IMAGES)
    assert len({round(score.score, 3) for score in scores}) == len(IMAGES)
    for score in scores:
        low, high = score.interval
        assert 0 <= low <= high <= 5
        assert high - low <= 1 + 1e-6  # half a point on either side


@pytest.mark.parametrize("batch", [1, 4])
def test_a_score_does_not_depend_on_what_is_scored_beside_it(parts, scores, batch):
    same(Scorer(parts, device="cpu", batch=batch)(IMAGES, PROMPTS, aspect="quality"), scores)


def test_order_is_kept(parts, scores):
    backwards = Scorer(parts, device="cpu", batch=2)(IMAGES[::-1], PROMPTS[::-1], aspect="quality")
    same(backwards[::-1], scores)


def test_paths_bytes_and_pillows_images_are_the_same(parts, scores, tmp_path):
    for place, image in enumerate(IMAGES):
        (tmp_path / f"{place}.png").write_bytes(png(image))
    files = [tmp_path / f"{place}.png" for place in range(len(IMAGES))]
    scorer = Scorer(parts, device="cpu")
    for images in (files, list(map(str, files)), list(map(png, IMAGES))):
        same(scorer(images, PROMPTS, aspect="quality"), scores)


def test_the_score_is_the_heads_on_stored_features(parts, scores, tmp_path):
    """As features and evaluate go: states to disk, the head on batches from there."""
    trained = Scorer(parts, device="cpu").loaded("quality")
    rounds = zip(PROMPTS, [score.description for score in scores], strict=True)
    readings = trained.mllm.read(IMAGES, [conversation("quality", *texts) for texts in rounds])
    ids = [str(place) for place in range(len(IMAGES))]
    writer = FeatureWriter(tmp_path, {}, ids)
    for part in writer.missing():
        writer.write(part, (stored(name, r.states, *r.description) for name, r in zip(ids, readings, strict=True)))
    predicted = predict(load_head(parts["quality"].head), FeatureStore.open(tmp_path), ids)
    np.testing.assert_allclose(predicted.to_numpy(), [score.score for score in scores], atol=1e-5)


def test_a_bad_image_stops_no_other(parts, scores, tmp_path):
    (tmp_path / "cut.png").write_bytes(png(IMAGES[0])[:100])
    images = [tmp_path / "none.png", IMAGES[1], b"GIF89a", tmp_path / "cut.png", IMAGES[4]]
    found = Scorer(parts, device="cpu")(images, [PROMPTS[1]] * 4 + [PROMPTS[4]], aspect="quality")
    assert [score.status[:6] for score in found] == ["failed", "ok", "failed", "failed", "ok"]
    assert all(score.score is score.interval is score.word is None for score in found if score.status != "ok")
    same([found[1], found[4]], [scores[1], scores[4]])


@pytest.mark.parametrize("mean", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_score(parts, mean):
    """A head whose weights are finite may still overflow."""
    scorer = Scorer(parts, device="cpu")
    scorer.loaded("quality").head.mos_mean.fill_(mean)
    for score in scorer(IMAGES[:2], PROMPTS[:2], aspect="quality"):
        assert score.status == "failed: the model's score is not a finite number"
        assert score.score is score.interval is score.word is score.description is None


def test_a_prompt_that_does_not_fit_stops_no_other(parts, scores):
    found = Scorer(parts, device="cpu")(IMAGES, [*PROMPTS[:5], "long " * 200], aspect="quality")
    assert found[5].status.startswith("failed: a conversation of")
    same(found[:5], scores[:5])


def test_without_a_prompt(parts, scores):
    assert NO_PROMPT in scores[2].warnings
    assert NO_PROMPT not in scores[0].warnings
    scorer = Scorer(parts, device="cpu")
    silent = scorer(IMAGES[:2], ["a cone", "  "], aspect="correspondence")
    assert [score.status for score in silent] == ["ok", "refused: correspondence needs the prompt"]
    assert scorer(IMAGES[:1], aspect="quality")[0].status == "ok"


def test_what_cannot_be_asked(parts):
    scorer = Scorer(parts, device="cpu")
    assert scorer.aspects == ("quality", "correspondence")
    with pytest.raises(InputError, match="'authenticity' is not here, only quality, correspondence"):
        scorer(IMAGES, PROMPTS, aspect="authenticity")
    with pytest.raises(ValueError, match="6 images and 1 prompts"):
        scorer(IMAGES, ["one"], aspect="quality")
    assert scorer([], [], aspect="quality") == []
