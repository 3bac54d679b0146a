"""Conversations whose first round is about other aspects than the one that is rated, and what is left as it was."""

import pytest

from m3agiqa.aspects import ASPECTS
from m3agiqa.mllm.conversation import conversation, description_of, questions_fingerprint
from m3agiqa.mllm.fitting import fitted

TWO = ("quality", "correspondence")
TEXTS = {"quality": "It is sharp. It is bright.", "correspondence": "A cat is there. No hat is."}
BEFORE = {  # of when an aspect was described alone, always: what was made then is found by them
    "quality": "814d5c6367b9d243f0a824cd134504c429d986e8d3e74f475db626977962e58c",
    "correspondence": "8a08c992a24c24fc47ef52ec8e55ef9156f29f8ba9b57ce6f8952b3a8f28bd8e",
    "authenticity": "a171bd08b58dfffd202965847a205ecdbdf913c4ceab013246cdfec0dfb906d9",
}


def texts_of(messages):
    return [message["content"][-1]["text"] for message in messages]


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("named", [True, False])
def test_an_aspect_alone_is_asked_about_as_ever(aspect, named):
    described = (aspect,) if named else ()
    assert texts_of(conversation(aspect, "a cat", description_of({aspect: "Sharp."}), "good", described=described)) == [
        f'Analyse the {aspect} of this image, generated from the prompt: "a cat"',
        "Sharp.",
        f"Based on your analysis, rate the {aspect} of this image with one word: bad, poor, fair, good or excellent.",
        "good",
    ]
    assert questions_fingerprint(aspect, described) == BEFORE[aspect]


def test_one_question_and_one_answer_are_about_several_and_the_second_question_about_one():
    whole = conversation("quality", "a cat", description_of(TEXTS), "good", described=TWO)
    assert texts_of(whole) == [
        'Analyse the quality and correspondence of this image, generated from the prompt: "a cat"',
        "Quality: It is sharp. It is bright. Correspondence: A cat is there. No hat is.",
        *texts_of(conversation("quality", "a cat", "", "good"))[2:],
    ]
    (asked,) = texts_of(conversation("quality", "", described=ASPECTS))
    assert asked.startswith("Analyse the quality, correspondence and authenticity of this image. The prompt")


def test_what_is_described_and_in_which_order_is_in_the_fingerprint():
    described = [(), TWO, TWO[::-1], ("correspondence",), ASPECTS]
    found = {questions_fingerprint(aspect, each) for aspect in ("quality", "authenticity") for each in described}
    assert len(found) == 10


def test_what_does_not_fit_loses_the_last_sentences_and_no_question():
    asked = conversation("quality", "a cat", description_of(TEXTS), described=TWO)
    seen = []
    for most in range(len(description_of(TEXTS)), 0, -1):
        fit = fitted(asked, 0, lambda messages, _, most=most: len(texts_of(messages)[1]) <= most)
        if fit is None:
            break
        assert texts_of(fit.conversation)[::2] == texts_of(asked)[::2]
        if fit.description not in seen:
            seen.append(fit.description)
    assert seen == [
        "Quality: It is sharp. It is bright. Correspondence: A cat is there. No hat is.",
        "Quality: It is sharp. It is bright. Correspondence: A cat is there.",
        "Quality: It is sharp. It is bright.",
        "Quality: It is sharp.",
    ]
