"""The teacher `openai`: what it sends to the many servers of its API, and what it reads in their answers."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from PIL import Image

from analyzers.openai.teacher import OpenAI
from analyzers.openai.terms import terms
from analyzers.teacher import CUT, TryAgain, Usage
from pipeline.settings import load
from tests.every_teacher import PARAMS
from tests.openai_asked import MOS, ask, teacher
from tests.openai_server import MODEL, TEXTS, Move, answer, error, no_schemas, refusal

pytest.importorskip("openai", reason="openai is in requirements-openai.txt")


def test_one_request_asks_for_all_aspects_and_is_answered(any_server, question):
    given = ask(teacher(any_server), question)
    assert given.said == {aspect: TEXTS[aspect] for aspect in MOS}
    assert (given.finish_reason, given.model_version, given.blocked) == ("STOP", MODEL, None)
    assert given.usage.input > 258
    [request] = any_server.requests
    assert request.aspects == tuple(MOS)
    assert 'The prompt was: "a red ball"' in request.text
    assert "quality 3.42, correspondence 1.50" in request.text
    schema = request.body["response_format"]["json_schema"]
    assert schema["strict"]
    assert schema["schema"]["required"] == list(MOS)
    assert not schema["schema"]["additionalProperties"]
    assert (request.body["temperature"], request.body["max_tokens"]) == (0.7, 900)


def test_a_file_is_sent_as_it_is(any_server, question, tmp_path):
    path = tmp_path / "ball.jpg"
    Image.new("RGB", (32, 24), (200, 30, 30)).save(path)
    ask(teacher(any_server), replace(question, path=path))
    [url] = [part["image_url"]["url"] for part in any_server.requests[0].body["messages"][0]["content"][1:]]
    kind, data = url.split(";base64,")
    assert kind == "data:image/jpeg"
    assert base64.b64decode(data) == path.read_bytes()


def test_a_server_of_ones_own_is_sent_no_key_and_nothing_of_openais(any_server, question, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "someone's")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: someone's\nX-Mine: someone's")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    any_server.key = None
    assert ask(teacher(any_server, key_variable=None), question).said
    assert not [value for value in any_server.requests[0].headers.values() if "someone" in value]
    assert "authorization" not in any_server.requests[0].headers


def test_what_is_extra_goes_along_and_is_part_of_the_key(any_server, question):
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    plain, more = teacher(any_server, temperature=None), teacher(any_server, temperature=None, extra=extra)
    ask(more, question)
    [request] = any_server.requests
    assert request.body["chat_template_kwargs"] == extra["chat_template_kwargs"]
    assert "temperature" not in request.body
    assert plain.key(question) != more.key(question)


@pytest.mark.parametrize("other", [{"timeout": 9}, {"key_variable": None}, {"name": "mine"}])
def test_how_it_is_reached_is_no_part_of_the_key(any_server, question, other):
    assert teacher(any_server).key(question) == teacher(any_server, **other).key(question)


def test_as_many_at_once_as_are_asked(any_server, question):
    at_once = 120
    together = threading.Barrier(at_once)

    def script(request):
        together.wait(timeout=30)
        return answer(request)

    any_server.script = script
    asked = teacher(any_server, timeout=40)
    prepared = asked.prepare(question)
    with ThreadPoolExecutor(at_once) as pool:
        assert all(given.blocked is None for given in pool.map(asked.ask, [prepared] * at_once))
    assert len(any_server.requests) == at_once


@pytest.mark.parametrize(
    "script",
    [
        no_schemas,
        lambda request: (
            error(500, "response_format type must be one of") if "response_format" in request.body else answer(request)
        ),
        lambda request: (
            Move(400, {"error": "'response_format.type' must be 'text'"})
            if "response_format" in request.body
            else answer(request)
        ),
    ],
    ids=["OpenAI", "llama.cpp", "LM Studio"],
)
def test_a_server_without_schemas_is_asked_in_words(any_server, question, script):
    any_server.script = script
    asked = teacher(any_server)
    with pytest.raises(TryAgain) as again:
        ask(asked, question)
    assert again.value.wait == 0
    assert ask(asked, question).said == {aspect: TEXTS[aspect] for aspect in MOS}
    ask(asked, question)
    assert ["response_format" in request.body for request in any_server.requests] == [True, False, False]
    ask(teacher(any_server, json_schema=False), question)
    assert "response_format" not in any_server.requests[-1].body


def test_a_model_that_wants_the_limit_under_another_name_gets_it(any_server, question):
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    any_server.script = lambda request: error(400, words) if "max_tokens" in request.body else answer(request)
    asked = teacher(any_server)
    with pytest.raises(TryAgain):
        ask(asked, question)
    assert ask(asked, question).said
    assert any_server.requests[-1].body["max_completion_tokens"] == 900
    assert "response_format" in any_server.requests[-1].body


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 300, "completion_tokens": 90, "total_tokens": 390}, Usage(300, 90, 0)),
        (
            {"prompt_tokens": 300, "completion_tokens": 90, "completion_tokens_details": {"reasoning_tokens": 70}},
            Usage(300, 20, 70),
        ),
        (
            {"prompt_tokens": 300, "completion_tokens": 90, "total_tokens": 390, "reasoning_tokens": 70},
            Usage(300, 20, 70),
        ),
        (
            {
                "prompt_tokens": 300,
                "completion_tokens": 20,
                "total_tokens": 390,
                "completion_tokens_details": {"reasoning_tokens": 70},
            },
            Usage(300, 20, 70),
        ),
        ({"prompt_tokens": 300, "completion_tokens": None, "completion_tokens_details": None}, Usage(300, 0, 0)),
        (None, Usage()),
    ],
    ids=["plain", "OpenAI", "SGLang", "thinking beside it", "nulls", "none"],
)
def test_tokens_are_counted(any_server, question, usage, counted):
    any_server.script = lambda request: answer(request, usage=usage)
    assert ask(teacher(any_server), question).usage == counted


@pytest.mark.parametrize(
    "said",
    [
        '<think>The keys are {"quality": "…"}.</think>\n{"quality": "Sharp."}',
        'The keys are {"quality": "…"}.</think>\n{"quality": "Sharp."}',
        [{"type": "thinking", "thinking": []}, {"type": "text", "text": '{"quality": "Sharp."}'}],
    ],
    ids=["in the text", "begun before it", "in a part"],
)
def test_thoughts_are_no_answer(any_server, question, said):
    any_server.script = lambda request: answer(request, message={"content": said})
    assert ask(teacher(any_server), question).said == {"quality": "Sharp."}


@pytest.mark.parametrize(
    ("script", "blocked"),
    [
        (refusal, "answer: REFUSAL"),
        (lambda request: answer(request, finish="content_filter", no_content=True), "answer: CONTENT_FILTER"),
        (lambda request: answer(request, finish="length", said='{"quality": "Edges are'), f"answer: {CUT}"),
    ],
)
def test_what_cannot_be_described_says_why(any_server, question, script, blocked):
    any_server.script = script
    given = ask(teacher(any_server), question)
    assert given.blocked == blocked
    assert given.usage.input > 0
    assert (given.finish_reason == CUT) == (CUT in blocked)


@pytest.mark.parametrize("said", ["", "no JSON {", "[1, 2]"])
def test_an_unusable_answer_is_an_answer(any_server, question, said):
    any_server.script = lambda request: answer(request, said=said, finish="a_new_reason")
    given = ask(teacher(any_server), question)
    assert given.blocked is None
    assert not isinstance(given.said, dict)


def test_the_scores_can_be_kept_back(any_server, question):
    ask(teacher(any_server, show_mos=False), question)
    assert "3.42" not in any_server.requests[0].text


@pytest.mark.parametrize("prices", [None, {"date": "2026-11-29", "input": 2.0, "output": 8.0}])
def test_its_terms_are_those_of_the_settings(prices):
    settings = load(PARAMS)
    profile = settings.teachers["openai"].model_validate({**settings.teachers["openai"].model_dump(), "prices": prices})
    allowed = settings.runtime.teacher.model_copy(update={"concurrency": 7, "timeout": 9.0, "max_usd": 3.0})
    found = terms("mine", profile, allowed)
    assert (found.concurrency, found.teacher.timeout, found.teacher.name) == (7, 9, "mine")
    assert found.limits == (allowed.requests_per_minute, allowed.input_tokens_per_minute, allowed.requests_per_day)
    assert found.saw_mos
    assert found.prices == profile.prices
    assert (found.service and found.service.max_usd) == (prices and 3)
    assert found.service is None or found.service.count_tokens is None


def test_what_earlier_versions_were_answered_is_found(question):
    """The key of an answer that was paid for does not change."""
    told = "028a00ac72b53cc4afda9e66e0e57267c2077b10cee0b7aa3d6dcfecd585b4e2"
    kept = OpenAI("http://127.0.0.1:8000/v1", MODEL, 0.7, 900, True, True, {}, None, 5)  # noqa: FBT003
    assert kept.key(replace(question, sha256="00ff")) == told
