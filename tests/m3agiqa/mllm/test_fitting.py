import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import logging

from m3agiqa.errors import InputError
from m3agiqa.mllm.conversation import RATING_WORDS, conversation
from m3agiqa.mllm.fitting import SENTENCE, fitted
from m3agiqa.mllm.model import LocalMLLM
from tests import tiny_minicpm, tiny_mllm
from tests.tiny_mllm import Taught, collator, picture, texts_of, training_batch

logging.disable_progress_bar()

DESCRIPTION = "The cat is sharp. It has five legs! Is the light right? Hardly."
ASKED = conversation("quality", "a cat", DESCRIPTION)
SQUARE = {"shortest_edge": 256, "longest_edge": 1024}
MODELS = {  # where the image is in fewer views, and the settings for that, from most to least
    "idefics3": (tiny_mllm.idefics3, [{"size": {"longest_edge": 32}}, {"do_image_splitting": False}]),
    "qwen3_vl": (tiny_mllm.qwen3_vl, [{"size": SQUARE}]),
    "minicpm_v_4_6": (tiny_mllm.minicpm_v_4_6, [{"max_slice_nums": 2}, {"max_slice_nums": 1}]),
    "minicpm": (tiny_minicpm.minicpm, [{"max_slice_nums": 2}, {"max_slice_nums": 1}]),
}
IMAGES = [picture(1, 64, 64), picture(2, 16, 16), picture(3, 64, 64)]


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    """A tiny model, and how many tokens the first image and ASKED are at each level."""
    build, views = MODELS[request.param]
    folder = build(tmp_path_factory.mktemp("model") / request.param)
    mllm = tiny_mllm.load(folder, max_length=500, fewer_views=views)
    shapes = [
        mllm._chat.tensors(IMAGES[:1], [ASKED], padding_side="right", views=given, answer=True)
        for given in ({}, *views)
    ]
    return mllm, [batch["input_ids"].shape[1] for batch in shapes]


@pytest.fixture
def fit(model):
    """Reads the three images with so many tokens at most."""
    mllm, _ = model

    def read(max_length):
        mllm.max_length = max_length
        return mllm.read(IMAGES, [ASKED] * 3)

    yield read
    mllm.max_length = 500


def test_lengths_are_known_from_the_images_sizes(model):
    """Of images whose sides are multiples of 32 px to the token, others are taken as the nearest such."""
    mllm, _ = model
    sizes, texts = [(64, 64), (32, 32), (64, 192)], ["", "A cat.", DESCRIPTION]
    chats = [conversation("quality", "a cat", text) for text in texts]
    made = [mllm.inputs([picture(1, *size)], [chat])[0] for size, chat in zip(sizes, chats, strict=True)]
    assert mllm.fitter.lengths(sizes, chats) == [inputs.lengths.item() for inputs in made]
    assert mllm.fitter.lengths([(70, 57)], chats[:1]) == mllm.fitter.lengths(sizes[:1], chats[:1])


def test_an_image_that_no_processor_takes_has_a_length_all_the_same(tmp_path):
    """A strip more than 200 times as long as wide, of which Qwen's says so when its turn has come."""
    fitter = tiny_mllm.load(tiny_mllm.qwen3_vl(tmp_path / "model"), max_length=500).fitter
    assert fitter.lengths([(64, 16000)], [ASKED]) == [fitter.chat.length(ASKED, answer=True)]


def test_fewer_views_come_first_and_only_where_they_must(model, fit):
    _, lengths = model
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) > 1
    whole = fit(lengths[0])
    assert [reading.fitted.level for reading in whole] == [0, 0, 0]
    for level, length in enumerate(lengths[1:], start=1):
        if length == lengths[level - 1]:
            continue
        readings = fit(lengths[level - 1] - 1)
        assert len(readings[0].states) == length
        assert readings[0].fitted.level == readings[2].fitted.level == level
        assert not any(reading.fitted.shortened for reading in readings)
        assert readings[0].fitted.description == DESCRIPTION
    smallest = readings[1]
    if len(whole[1].states) <= lengths[-2] - 1:  # the small image fits as it is, and its neighbours change nothing
        assert smallest.fitted.level == 0
        torch.testing.assert_close(smallest.states, whole[1].states, atol=1e-5, rtol=1e-5)


def test_then_the_description_loses_sentences(model, fit):
    mllm, lengths = model
    kept = fit(lengths[-1] - 1)[0]
    assert kept.fitted.shortened
    assert kept.fitted.level == len(mllm.fewer_views)
    assert kept.fitted.description == "The cat is sharp. It has five legs! Is the light right?"
    (alone,) = mllm.read(IMAGES[:1], [conversation("quality", "a cat", kept.fitted.description)])
    torch.testing.assert_close(alone.states, kept.states, atol=1e-5, rtol=1e-5)
    assert alone.description == kept.description
    assert len(kept.states) < lengths[-1]


def test_then_it_is_refused_and_the_question_stands(fit):
    with pytest.raises(InputError, match=r"does not fit max_length 20; it begins: .*a cat"):
        fit(20)


def test_training_and_asking_give_way_alike(model):
    mllm, lengths = model
    taught = conversation("quality", "a cat", DESCRIPTION, "good")
    mllm.max_length = lengths[-1] - 1
    try:
        batches = collator(mllm)(Taught((image, taught) for image in IMAGES))
        assert max(batch["input_ids"].shape[1] for batch in batches) <= mllm.max_length
        row = batches[-1]["labels"][0]
        said = mllm.processor.tokenizer.decode(row[row != -100])
        word = batches[-1]["input_ids"][0, batches[-1]["word_at"][0]]
        assert "The cat is sharp." in said
        assert "Hardly" not in said
        assert word == mllm.word_tokens[RATING_WORDS.index("good")]
        question = conversation("quality", "a cat")
        asked = [
            mllm._chat.tensors(IMAGES[:1], [question], padding_side="left", views=given, answer=True)
            for given in ({}, mllm.fewer_views[0])
        ]
        room = 4 + mllm.fitter.chat.second_question
        mllm.max_length = asked[1]["input_ids"].shape[1] + room
        assert mllm.max_length < asked[0]["input_ids"].shape[1] + room
        (answer,) = texts_of(mllm, IMAGES[:1], [question], 4)
        tokens = mllm.model.generate(**asked[1], max_new_tokens=4)[:, asked[1]["input_ids"].shape[1] :]
        assert answer == mllm.processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()
    finally:
        mllm.max_length = 500


def test_an_image_is_taught_as_it_would_be_alone(model):
    """Whatever the others in its batch are, and however many processes share the batch."""
    mllm, _ = model
    words = ("good", "bad", "fair")
    taught = [
        (image, conversation("quality", "a cat", DESCRIPTION, word)) for image, word in zip(IMAGES, words, strict=True)
    ]
    large, small = (len(training_batch(mllm, [taught[row]])["input_ids"][0]) for row in (0, 1))
    mllm.max_length = max(large - 1, small)
    collate = collator(mllm)
    try:
        together = collate(Taught(taught))
        assert len(together) == (2 if small < large else 1)
        places = [(1, 0), (0, 0), (1, 1)] if len(together) == 2 else [(0, 0), (0, 1), (0, 2)]
        for row, place in enumerate(places):
            (alone,) = collate(Taught([taught[row]]))
            batch, length = together[place[0]], len(alone["input_ids"][0])
            for name in ("input_ids", "labels", "attention_mask"):
                assert torch.equal(batch[name][place[1], :length], alone[name][0]), (row, name)
            for name in ("word_at", "word_weights", "word_tokens"):
                assert torch.equal(batch[name][place[1]], alone[name][0]), (row, name)
            assert batch["attention_mask"][place[1]].sum() == length
    finally:
        mllm.max_length = 500


def test_an_unknown_setting_is_refused(model):
    mllm, _ = model
    wrong = LocalMLLM(mllm.model, mllm.processor, 100, mllm.device, "tiny", "none", [{"max_slices": 3}])
    with pytest.raises(InputError, match="fewer_views: the image processor of tiny has no setting max_slices"):
        wrong.read(IMAGES[:1], [ASKED])


@given(st.lists(st.sampled_from(["A b.", "C!", "Why d?", "e f g."]), min_size=1, max_size=6), st.integers(0, 40))
def test_what_is_left_begins_the_description_and_is_as_long_as_may_be(sentences, room):
    text = " ".join(sentences)
    fit = fitted(conversation("quality", "x", text), 2, lambda tried, _: len(tried[1]["content"][0]["text"]) <= room)
    if len(sentences[0]) > room:
        assert fit is None
        return
    left = SENTENCE.split(fit.description)
    assert left == sentences[: len(left)]
    assert fit.shortened is (len(text) > room)
    assert fit.level == (2 if fit.shortened else 0)
    if fit.shortened:
        assert len(" ".join(sentences[: len(left) + 1])) > room
