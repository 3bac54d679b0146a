"""The head of one aspect reads a description of two: from the teacher's texts to the scores of predict."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import logging

from data.feature_store.said import read_said
from data.feature_store.store import FeatureStore
from data.tables.frames import read_table
from evaluation.predictions import predict
from finetune.distill.examples import Examples
from m3agiqa import workspace
from m3agiqa.card import read_card
from m3agiqa.errors import InputError
from m3agiqa.head.model import load_head
from m3agiqa.images import image_size, load_image
from m3agiqa.mllm.conversation import conversation
from m3agiqa.scorer import Scorer
from pipeline import paths
from stages import card, describe, distill, evaluate, features, train, train_fast
from tests.described import TWO, UNEXPLAINED, build, describing
from tests.tiny_mllm import load, texts_of

logging.disable_progress_bar()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The settings of a project whose stages have run, in its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("two"))
        patch.setenv("DVC_ROOT", str(Path.cwd()))
        chosen = build(TWO, images=16)
        chosen = chosen.model_copy(update={"evaluate": chosen.evaluate.model_copy(update={"bootstrap": 20})})
        for stage in (distill, describe, features, train, train_fast, evaluate, card):
            stage.main(chosen)
        yield chosen


@pytest.fixture(scope="module")
def images(made):
    """Each image and its prompt, by id."""
    samples = read_table(paths.samples(made.dataset))
    return {
        row.image_id: (load_image(paths.raw(made.dataset) / row.path), row.prompt)
        for row in samples.itertuples(index=False)
    }


def test_the_stages_ask_about_both_and_what_is_alone_is_as_in_a_batch(made, images):
    of = paths.of_dataset(made.dataset, made.aspect)
    said = read_said(of.descriptions, of.features).set_index("image_id")
    store = FeatureStore.open(of.features)
    student = load(Path("model"), max_length=400, adapter=paths.adapter(made.dataset, made.aspect))
    for image_id, (image, prompt) in images.items():
        text = said.loc[image_id, "description"]
        asked = conversation("quality", prompt, described=TWO)
        assert texts_of(student, [image], [asked], 2 * 8) == [text]  # so many tokens for each
        (reading,) = student.read([image], [conversation("quality", prompt, text, described=TWO)])
        torch.testing.assert_close(store[image_id], reading.states, atol=1e-4, rtol=1e-4)
        assert store.description(image_id) == reading.description
        assert said.loc[image_id, "word"] == reading.word


@pytest.mark.parametrize("fast", [False, True])
def test_predict_asks_as_the_stages_did_and_comes_to_their_scores(made, images, fast):
    assert read_card(paths.card(made.dataset, made.aspect)).described == tuple(TWO)
    scorer = Scorer(workspace.parts_here(), device="cpu", batch=3, unfamiliar=True, fast=fast)
    pictures, prompts = zip(*images.values(), strict=True)
    scores = dict(zip(images, scorer(pictures, prompts, aspect="quality"), strict=True))
    of = paths.of_dataset(made.dataset, made.aspect)
    store, head = FeatureStore.open(of.features), paths.head(made.dataset, made.aspect)
    said = read_said(of.descriptions, of.features).set_index("image_id")["description"].to_dict()
    if fast:
        store, head = store.without_descriptions(), paths.fast_head(made.dataset, made.aspect)
        said = dict.fromkeys(said)
    assert {image_id: score.description for image_id, score in scores.items()} == said
    predicted = predict(load_head(head), store, list(images))
    np.testing.assert_allclose([scores[image_id].score for image_id in images], predicted, atol=1e-5)


def test_each_image_is_taught_what_the_teacher_explained(made):
    captions = read_table(paths.captions(made.dataset))
    samples = read_table(paths.samples(made.dataset)).merge(captions, on="image_id")
    examples = Examples(paths.raw(made.dataset), "quality", samples, described=TWO)
    taught = dict(zip(samples["image_id"], examples, strict=True))
    assert taught["i02"].conversation == conversation(
        "quality",
        "2 cats",
        "Quality: It is very very good. It is sharp. Correspondence: All the the cats are there.",
        "bad",  # of a MOS of 0.6
        described=TWO,
    )
    alone = taught[UNEXPLAINED].conversation
    assert alone[:3] == conversation("quality", "1 cats", "It is very good. It is sharp.")
    fitter = load(Path("model").absolute()).fitter
    texts = [sum(map(len, each)) for each in samples[TWO].fillna("").to_numpy()]
    seen = [fitter.chat.image_length(image_size(paths.raw(made.dataset) / path)) for path in samples["path"]]
    assert examples.lengths(fitter) == [characters + 4 * tokens for characters, tokens in zip(texts, seen, strict=True)]


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return build(TWO)


def test_it_is_said_how_many_images_lack_an_explanation(chosen, capsys):
    distill.main(chosen)
    said = "distill: 1 of 8 images lack an explanation of an aspect, and are not asked about it"
    assert said in capsys.readouterr().err


def test_an_aspect_that_nobody_explained_is_refused(chosen):
    with pytest.raises(InputError, match=r"names authenticity, and .* explanations of quality, correspondence alone"):
        distill.main(describing(chosen, ["quality", "authenticity"]))


def test_unfinished_work_on_other_aspects_is_not_taken(chosen):
    untaught = chosen.model_copy(update={"distill": chosen.distill.model_copy(update={"enabled": False})})
    distill.main(untaught)

    def made(aspects):
        there = describing(untaught, aspects)
        describe.main(there)
        features.main(there)
        of = paths.of_dataset(there.dataset, there.aspect)
        return of.descriptions.read_bytes(), next(of.features.glob("*.parquet")).read_bytes()

    alone = made(None)
    assert made(["quality"]) == alone  # the same, said aloud
    others = [made(aspects) for aspects in (TWO, TWO[::-1], ["correspondence"])]
    assert len({alone[0], *(descriptions for descriptions, _ in others)}) == 4
    assert made(None) == alone
