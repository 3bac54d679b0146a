"""The contract that every SDK's adapter keeps, over real HTTP."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from PIL import Image

from analyzers.gemini.teacher import ENDPOINT, SDKS, Gemini
from analyzers.gemini.teacher import KEY as KEY_NAME
from analyzers.teacher import DailyQuota, Refused, TryAgain, Usage
from m3agiqa.errors import InputError
from tests.gemini_server import (
    TEXTS,
    Move,
    answer,
    bad_image,
    bad_key,
    blocked_prompt,
    daily_quota,
    error,
    too_many,
)

STANDARD = str.maketrans("-_", "+/")  # the API takes both alphabets of base64
MOS = {"quality": 3.42, "correspondence": 1.5}


@pytest.fixture(params=SDKS)
def sdk(request):
    return request.param


def teacher(sdk, **changes):
    pytest.importorskip({"google-generativeai": "google.ai", "google-genai": "google.genai"}[sdk])
    settings = {"model": "gemini-3.8-flash", "temperature": 1.0, "max_output_tokens": 900, "show_mos": True}
    return Gemini(**settings | {"sdk": sdk, "timeout": 5} | changes)


def ask(teacher, question):
    return teacher.ask(teacher.prepare(question))


def test_one_request_asks_for_all_aspects_and_is_answered(server, sdk, question):
    given = ask(teacher(sdk), question)
    assert given.said == {aspect: TEXTS[aspect] for aspect in MOS}
    assert (given.finish_reason, given.model_version, given.blocked) == ("STOP", "gemini-3.8-flash", None)
    [request] = server.requests
    assert set(request.aspects) == set(MOS)
    assert 'The prompt was: "a red ball"' in request.text
    assert "quality 3.42, correspondence 1.50" in request.text
    config = request.body["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseSchema"]["required"] == list(MOS)
    assert (config["temperature"], config["maxOutputTokens"]) == (1.0, 900)


def test_a_file_is_sent_as_it_is(server, sdk, question, tmp_path):
    path = tmp_path / "ball.jpg"
    Image.new("RGB", (32, 24), (200, 30, 30)).save(path)
    ask(teacher(sdk), replace(question, path=path))
    [image] = [part["inlineData"] for part in server.requests[0].body["contents"][0]["parts"] if "inlineData" in part]
    assert "image/jpeg" in image.values()  # its name is mimeType or mime_type, and the API takes both
    assert base64.b64decode(image["data"].translate(STANDARD)) == path.read_bytes()


def test_as_many_at_once_as_are_asked(server, sdk, question):
    """None waits in the SDK for a place among its connections, where it would use up its time."""
    at_once = 120
    together = threading.Barrier(at_once)

    def script(request):
        together.wait(timeout=30)
        return answer(request)

    server.script = script
    asked = teacher(sdk, timeout=40)
    prepared = asked.prepare(question)
    with ThreadPoolExecutor(at_once) as pool:
        assert all(given.blocked is None for given in pool.map(asked.ask, [prepared] * at_once))
    assert len(server.requests) == at_once


def test_thinking_and_a_rerouted_model_are_seen(server, sdk, question):
    server.script = lambda request: answer(request, thinking=70, version="gemini-4-argon")
    given = ask(teacher(sdk), question)
    assert given.model_version == "gemini-4-argon"
    assert given.usage.thinking == 70
    assert given.usage.input > 258


@pytest.mark.parametrize(
    ("script", "blocked"),
    [
        (blocked_prompt, "prompt: PROHIBITED_CONTENT"),
        (lambda request: answer(request, finish="SAFETY", no_content=True), "answer: SAFETY"),
        (lambda request: answer(request, finish="RECITATION", no_content=True), "answer: RECITATION"),
        (lambda request: answer(request, finish="MAX_TOKENS", said='{"quality": "Edges are'), "answer: MAX_TOKENS"),
    ],
)
def test_what_cannot_be_described_says_why(server, sdk, question, script, blocked):
    server.script = script
    given = ask(teacher(sdk), question)
    assert given.blocked == blocked
    assert given.usage.input > 0


@pytest.mark.parametrize("said", ["", "no JSON {", "[1, 2]"])
def test_an_unusable_answer_is_an_answer(server, sdk, question, said):
    server.script = lambda request: answer(request, said=said)
    given = ask(teacher(sdk), question)
    assert given.blocked is None
    assert not isinstance(given.said, dict)


def test_an_unknown_finish_reason_is_an_answer(server, sdk, question):
    server.script = lambda request: answer(request, finish="A_NEW_REASON", no_content=True)
    assert ask(teacher(sdk), question).blocked is None


@pytest.mark.parametrize(
    "script",
    [
        lambda _: error(500),
        lambda _: error(503, "The model is overloaded."),
        lambda _: error(504),
        lambda _: Move(502, "<html>Bad gateway</html>"),
        lambda request: answer(request, cut='"finishReason"'),
        lambda _: error(429),
        lambda request: answer(request, sent=0),
        lambda request: answer(request, sent=0.5),
        lambda request: answer(request, delay=1.5),
    ],
    ids=["500", "503", "504", "502", "cut JSON", "429", "dropped", "half an answer", "slow"],
)
def test_errors_that_pass(server, sdk, question, script):
    server.script = script
    with pytest.raises(TryAgain) as error:
        ask(teacher(sdk, timeout=0.5), question)
    assert error.value.wait is None
    assert len(server.requests) == 1


def test_nothing_listens(server, sdk, question, monkeypatch):
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    with pytest.raises(TryAgain):
        ask(teacher(sdk), question)


def test_retry_info_is_obeyed(server, sdk, question):
    server.script = lambda _: too_many("22s")
    with pytest.raises(TryAgain) as error:
        ask(teacher(sdk), question)
    assert error.value.wait == 22


def test_a_daily_quota_says_when_to_resume(server, sdk, question):
    server.script = lambda _: daily_quota()
    with pytest.raises(DailyQuota, match=r"after \d{4}-\d\d-\d\d 00:00 Pacific"):
        ask(teacher(sdk), question)


@pytest.mark.parametrize(
    ("move", "advice"),
    [
        (bad_key(), "GEMINI_API_KEY"),
        (error(400, "API Key not found."), "GEMINI_API_KEY"),
        (error(400, "User location is not supported.", name="FAILED_PRECONDITION"), r"teachers\.gemini"),
        (error(401, "Not so."), "GEMINI_API_KEY"),
        (error(403, "Not so."), "may use this model"),
        (error(404, "Not so."), r"teachers\.gemini\.model"),
    ],
)
def test_errors_that_stay_say_what_to_do(server, sdk, question, move, advice):
    server.script = lambda _: move
    with pytest.raises(InputError, match=rf"{move.status}: {move.body['error']['message']}.*{advice}"):
        ask(teacher(sdk), question)
    assert len(server.requests) == 1


@pytest.mark.parametrize("move", [bad_image(), error(413, "Too large."), Move(400, "<html>Bad request</html>")])
def test_a_request_that_is_refused_may_be_the_only_one(server, sdk, question, move):
    server.script = lambda _: move
    with pytest.raises(Refused, match=str(move.status)) as refused:
        ask(teacher(sdk), question)
    assert refused.value.advice
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [200, 400, 429, 503])
@pytest.mark.parametrize("body", ["[]", "null", "", '{"error": "no"}', '{"candidates": [null]}'])
def test_a_body_of_another_shape_is_no_bug_of_ours(server, sdk, question, status, body):
    server.script = server.count_script = lambda _: Move(status, body)
    with suppress(TryAgain, Refused):
        assert not ask(teacher(sdk), question).said
    with pytest.raises((TryAgain, Refused)):
        teacher(sdk).count_tokens(question)


def test_without_a_key_nothing_is_sent(server, sdk, question, monkeypatch):
    monkeypatch.delenv(KEY_NAME)
    with pytest.raises(InputError, match="GEMINI_API_KEY is not set"):
        ask(teacher(sdk), question)


def test_tokens_are_counted_for_nothing(server, sdk, question):
    assert teacher(sdk).count_tokens(question) > 258
    assert not server.requests


def test_what_earlier_versions_were_answered_is_found(sdk, question):
    """The key of an answer that was paid for does not change."""
    kept = "cc053919e8d8d79faeb7776ddcaee5ce2a30328aa44d35731108efd40c5bbe1b"
    assert teacher(sdk).key(replace(question, sha256="00ff")) == kept


def test_the_scores_can_be_kept_back(server, sdk, question):
    ask(teacher(sdk, show_mos=False), question)
    assert "3.42" not in server.requests[0].text
    assert Usage(1, 2, 3) + Usage(1, 1, 1) == Usage(2, 3, 4)
