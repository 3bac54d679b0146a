import pytest

from m3agiqa.errors import InputError
from m3agiqa.mllm import conversation as module
from m3agiqa.mllm.conversation import RATING_WORDS, conversation, questions_fingerprint, word_of


@pytest.mark.parametrize(
    ("mos", "word"),
    [(0, "bad"), (1, "poor"), (2, "fair"), (2.5, "fair"), (3.999, "good"), (4, "excellent"), (5, "excellent")],
)
def test_word_of(mos, word):
    assert word_of(mos) == word


@pytest.mark.parametrize("mos", [-0.01, 5.01, float("nan")])
def test_word_of_refuses_what_is_off_the_scale(mos):
    with pytest.raises(InputError, match="0-5 scale"):
        word_of(mos)


def test_each_cut_continues_the_one_before():
    ask = conversation("quality", "a red cube")
    rate = conversation("quality", "a red cube", " It is sharp.\n")
    whole = conversation("quality", "a red cube", " It is sharp.\n", "good")
    assert rate[:1] == ask
    assert whole[:3] == rate
    assert [message["role"] for message in whole] == ["user", "assistant", "user", "assistant"]
    assert [part["type"] for part in whole[0]["content"]] == ["image", "text"]
    assert whole[1]["content"][0]["text"] == "It is sharp."
    assert whole[3]["content"][0]["text"] == "good"
    assert all(word in whole[2]["content"][0]["text"] for word in RATING_WORDS)


@pytest.mark.parametrize("prompt", ["Würfel, 赤い球", "$aspect of ${prompt} $", "50% {braces}"])
def test_prompts_are_quoted_as_they_are(prompt):
    (message,) = conversation("authenticity", prompt)
    question = message["content"][1]["text"]
    assert question == f'Analyse the authenticity of this image, generated from the prompt: "{prompt}"'


def test_an_image_without_prompt_gets_a_question_that_says_so():
    (message,) = conversation("quality", " \n")
    assert "not known" in message["content"][1]["text"]
    assert "prompt:" not in message["content"][1]["text"]


def test_line_breaks_in_a_prompt_are_spaces():
    assert conversation("quality", "a\r\ncube") == conversation("quality", "a cube")


def test_a_word_needs_a_description():
    with pytest.raises(ValueError, match="description"):
        conversation("quality", "", word="good")


def test_fingerprint_follows_aspect_and_questions(monkeypatch):
    before = questions_fingerprint("quality")
    assert before == questions_fingerprint("quality")
    assert before != questions_fingerprint("authenticity")
    monkeypatch.setitem(module.QUESTIONS, "rate", "Rate it.")
    assert before != questions_fingerprint("quality")
