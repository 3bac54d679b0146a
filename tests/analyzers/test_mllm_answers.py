"""What a model on this machine is asked, and what of its answers is taken: nearly JSON, and what reached the limit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analyzers.ledger import AspectState, ImageState
from analyzers.mllm import LocalTeacher, Request, told, whole_sentences
from analyzers.teacher import CUT
from m3agiqa.images import load_image
from m3agiqa.mllm.fitting import TooLongError
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.readings import Written
from pipeline.settings import load
from tests import tiny_mllm
from tests.every_teacher import roomy
from tests.gemini_server import TEXTS

ROOT = Path(__file__).parents[2]
ASPECTS = ("quality", "correspondence", "authenticity")
WHOLE = {aspect: TEXTS[aspect] for aspect in ASPECTS}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_mllm.load(roomy(tiny_mllm.smolvlm(tmp_path_factory.mktemp("model"))), max_length=2000)


@pytest.fixture
def asked(question):
    return replace(question, mos=dict.fromkeys(ASPECTS, 3.42))


def states(**known):
    return ImageState({aspect: known.get(aspect, AspectState()) for aspect in ASPECTS})


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(WHOLE),
        f"```json\n{json.dumps(WHOLE, indent=2)}\n```",
        json.dumps({aspect.title(): text for aspect, text in WHOLE.items()}),
        json.dumps({"explanations": WHOLE}),
        json.dumps(WHOLE).replace('", "', '",\n"')[:-1],  # no brace at the end
        json.dumps(WHOLE).replace(", ", ",, ", 1),
    ],
)
def test_json_or_nearly_json_is_read(text):
    assert told(text, ASPECTS) == WHOLE


def test_of_json_that_is_cut_the_whole_strings_are_read():
    written = json.dumps(WHOLE)
    for length in range(len(written)):
        found = told(written[:length], ASPECTS)
        assert found.items() <= WHOLE.items()
        assert list(found) == list(ASPECTS[: len(found)])


@pytest.mark.parametrize("text", ["", "The quality is fine.", '{"sharpness": "It is sharp."}', '{"quality": "a "b" c'])
def test_nothing_is_made_up(text):
    assert told(text, ASPECTS) == {}


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("It is sharp. It is re", "It is sharp."),
        ('A sign says "stop." It is re', 'A sign says "stop."'),
        ("It is sharp.", "It is sharp."),
        ("很清晰。颜色也", "很清晰。"),
        ("Shot at f/1.8 in the eve", ""),
        ("", ""),
    ],
)
def test_what_is_cut_ends_with_a_sentence(text, whole):
    assert whole_sentences(text) == whole


def test_the_brief_is_asked_and_no_score_told(model, asked):
    chats = []

    class Eyes:
        def questions(self, _images, chats_, most):
            chats.extend((chat[0]["content"][1]["text"], most) for chat in chats_)

    teacher = LocalTeacher(model, 40)
    (together,) = teacher.requests(asked, states())
    alone = teacher.alone(asked.about(["quality"]))
    LocalTeacher(Eyes(), 40).inputs([None], [together])
    LocalTeacher(Eyes(), 40).inputs([None], [alone])
    (first, room), (second, less) = chats
    assert all(f"- {aspect}: " in first for aspect in ASPECTS)
    assert "at most 80 words" in first
    assert 'under its key: "quality", "correspondence", "authenticity".' in first
    assert "JSON" not in second
    assert "- authenticity" not in second
    assert "3.42" not in first + second
    assert (room, less) == (120, 40)


def test_what_was_tried_is_asked_alone(model, asked):
    teacher = LocalTeacher(model, 40)
    tried = states(correspondence=AspectState(unusable=1, at=1.0))
    requests = list(teacher.requests(asked, tried))
    assert [(list(each.question.mos), each.alone) for each in requests] == [
        (["quality", "authenticity"], False),
        (["correspondence"], True),
    ]
    done = AspectState(explanation="It is sharp.", at=1.0)
    (left,) = teacher.requests(asked, states(quality=done, correspondence=done))
    assert (list(left.question.mos), left.alone) == (["authenticity"], True)


def test_all_at_once_gets_as_much_room_as_there_is_beside_an_image_seen_as_ever(model, asked):
    (whole,) = LocalTeacher(model, 40).requests(asked, states())
    left = model.fitter.chat.second_question + whole.length
    rooms = []
    for room in (0, 39, 40, 79, 80, 120, 500):
        short = replace(model, max_length=left + room)
        requests = list(LocalTeacher(short, 40).requests(asked, states()))
        rooms.append([request.room for request in requests])
    assert rooms == [[40] * 3, [40] * 3, [40], [40], [80], [120], [120]]


@pytest.mark.parametrize(
    ("text", "ended", "said", "blocked"),
    [
        ("It is sharp. It is", True, {"quality": "It is sharp. It is"}, False),
        ("It is sharp. It is", False, {"quality": "It is sharp."}, False),
        ('{"quality": "It is sharp."}', True, {"quality": "It is sharp."}, False),
        ("It is", False, None, True),
        ('{"explanation": "It is sharp."}', True, {"quality": "It is sharp."}, False),
        ('```json\n{"Answer": "It is sharp.", "score": 4}\n```', True, {"quality": "It is sharp."}, False),
        ("```\nIt is sharp.\n```", True, {"quality": "It is sharp."}, False),
        ('<think>{"quality": "No."}</think>\nIt is sharp.', True, {"quality": "It is sharp."}, False),
        ('<think>No.</think>{"quality": "It is sharp."}', True, {"quality": "It is sharp."}, False),
        ("No. Or is it?</think>It is sharp. It is", False, {"quality": "It is sharp."}, False),
        ('{"explanation": "It is sharp.", "why": "It is."}', True, {"quality": None}, False),
        ("{'quality': 'It is sharp.'}", True, {"quality": None}, False),
        ("Here it is: {'quality': 'It is sharp.'}", True, {"quality": None}, False),
        ("['It is sharp.']", True, {"quality": None}, False),
        ('```json\n{"quality": "It is sharp. It is', False, None, True),
        ('Here it is:\n```json\n{"quality": "It is sharp. It is', False, None, True),
        ("<think>It is sharp. It is", False, None, True),
    ],
)
def test_an_answer_in_plain_words(asked, text, ended, said, blocked):
    request = Request(asked.about(["quality"]), 40, 100, alone=True)

    class Mouth:
        name = "mouth"

        def answers(self, _inputs, _most):
            return [Written(text, ended)]

    (answer,) = LocalTeacher(Mouth(), 40).answers([], [request])
    assert answer.last
    assert (answer.finish_reason == CUT) == (not ended)
    assert (answer.blocked is not None) == blocked
    assert blocked or answer.said == said


def test_what_a_model_thinks_is_no_answer(asked):
    request, thought = Request(asked, 40, 100, alone=False), json.dumps(dict.fromkeys(ASPECTS, "No."))

    class Mouth:
        name = "mouth"

        def answers(self, _inputs, _most):
            return [Written(f"<think>{thought}</think>{json.dumps(WHOLE)}", ended=True)]

    (answer,) = LocalTeacher(Mouth(), 40).answers([], [request])
    assert answer.said == WHOLE


@pytest.mark.parametrize(("name", "fitting"), [("tiny", []), ("small", [0, 40])])
def test_for_how_long_a_prompt_the_embedded_ones_have_room(asked, name, fitting):
    """As docs/gemini.md says: `tiny` has none for any, `small` for less than about 50 words."""
    profile = load(ROOT / "params.yaml").mllms[name].model_copy(update={"model": str(ROOT / "models" / name)})
    teacher = LocalTeacher(LocalMLLM.load(profile, device="cpu"), profile.max_new_tokens)

    def fits(words):
        about = replace(asked, prompt=" ".join(["red ball"] * (words // 2))).about(["authenticity"])
        try:
            return bool(teacher.inputs([load_image(asked.path)], [teacher.alone(about)]))
        except TooLongError:
            return False

    assert list(filter(fits, (0, 40, 80))) == fitting


@pytest.mark.parametrize("change", [{"max_length": 1900}, {"identity": "another"}])
def test_another_model_is_another_key(model, asked, change):
    kept = LocalTeacher(model, 40).key(asked)
    assert LocalTeacher(replace(model), 40).key(replace(asked, image_id="moved", mos=dict.fromkeys(ASPECTS, 1))) == kept
    assert LocalTeacher(replace(model, **change), 40).key(asked) != kept
    assert LocalTeacher(model, 41).key(asked) != kept
    assert LocalTeacher(model, 40).key(replace(asked, prompt="a blue ball")) != kept
