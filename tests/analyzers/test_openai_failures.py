"""The teacher `openai` before servers that fail, each in its own words: which errors pass, stay, or are the image's."""

import sys
import time
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate

import pytest

from analyzers.teacher import DailyQuota, Refused, TryAgain
from m3agiqa.errors import InputError
from tests.openai_asked import ask, teacher
from tests.openai_server import KEY, Move, OpenAIServer, answer, bad_image, bad_key, daily_quota, error, too_many

pytest.importorskip("openai", reason="openai is in requirements-openai.txt")


@pytest.mark.parametrize(
    "script",
    [
        lambda _: error(500),
        lambda _: error(503, "Overloaded."),
        lambda _: error(408),
        lambda _: Move(502, "<html>Bad gateway</html>"),
        lambda _: Move(200, {"error": {"code": 502, "message": "The provider is down."}}),
        lambda _: Move(200, {"choices": [{"error": {"code": 502, "message": "Gone."}, "finish_reason": "error"}]}),
        lambda request: answer(request, cut='"finish_reason"'),
        lambda _: error(429),
        lambda request: answer(request, sent=0),
        lambda request: answer(request, sent=0.5),
        lambda _: replace(error(500), sent=0.5),
        lambda request: answer(request, delay=1.5),
    ],
    ids=[
        "500", "503", "408", "502", "late 502", "later 502", "cut JSON", "429", "dropped", "half an answer",
        "half an error", "slow",
    ],
)  # fmt: skip
def test_errors_that_pass(any_server, question, script):
    any_server.script = script
    with pytest.raises(TryAgain) as again:
        ask(teacher(any_server, timeout=0.5), question)
    assert again.value.wait is None
    assert len(any_server.requests) == 1


@pytest.mark.parametrize(
    ("change", "lost"), [({"sent": 0}, True), ({"sent": 0.5}, True), ({"delay": 1.5}, True), ({"status": 500}, False)]
)
def test_an_answer_that_may_have_been_made_is_told_apart(any_server, question, change, lost):
    any_server.script = lambda request: replace(answer(request), **change)
    with pytest.raises(TryAgain) as again:
        ask(teacher(any_server, timeout=0.5), question)
    assert again.value.lost is lost


@pytest.mark.parametrize(("status", "perhaps"), [(500, True), (503, False), (429, False)])
def test_an_overload_is_no_image_s_fault(any_server, question, status, perhaps):
    any_server.script = lambda _: error(status)
    with pytest.raises(TryAgain) as again:
        ask(teacher(any_server), question)
    assert again.value.perhaps_image is perhaps


def test_where_nothing_listens_one_line_says_so_at_once(question):
    with OpenAIServer() as gone:
        asked = teacher(gone, key_variable=None, name="mine")
    with pytest.raises(InputError, match=r"/v1: ConnectError .*refused \(start the server, or check teachers\.mine\."):
        ask(asked, question)


def test_an_address_that_is_none_is_said(any_server, question):
    with pytest.raises(InputError, match=r"teachers\.openai\.base_url is http://host:port/v1: Invalid port"):
        ask(teacher(any_server, base_url="http://host:port/v1"), question)


def test_a_server_that_goes_away_is_waited_for(question):
    with OpenAIServer(key=None) as server:
        asked = teacher(server, key_variable=None)
        ask(asked, question)
        server.script = lambda request: replace(answer(request), sent=0)  # which closes the connection
        with pytest.raises(TryAgain):
            ask(asked, question)
    with pytest.raises(TryAgain, match="refused") as again:
        ask(asked, question)
    assert not again.value.lost
    assert not again.value.perhaps_image


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        (lambda _: {"Retry-After": "22"}, 22),
        (lambda _: {"retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
        (lambda now: {"Retry-After": formatdate(now + 90, usegmt=True)}, pytest.approx(90, abs=20)),
        (lambda now: {"X-RateLimit-Reset": str(int((now + 90) * 1000))}, pytest.approx(90, abs=20)),
    ],
    ids=["seconds", "milliseconds", "a date", "OpenRouter's"],
)
def test_the_wait_that_is_asked_for_is_kept(any_server, question, status, headers, wait):
    any_server.script = lambda _: error(status, headers=headers(time.time()))
    with pytest.raises(TryAgain) as again:
        ask(teacher(any_server), question)
    assert again.value.wait == wait


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "0"},
        {"Retry-After": "soon"},
        {"Retry-After": "-1"},
        {"Retry-After": formatdate(0, usegmt=True)},
        {"X-RateLimit-Reset": "12"},
        {"X-RateLimit-Reset": "1600000000000"},
    ],
)
def test_a_wait_that_is_none_grows_as_it_does_without_one(any_server, question, headers):
    any_server.script = lambda _: error(429, headers=headers)
    with pytest.raises(TryAgain) as again:
        ask(teacher(any_server), question)
    assert again.value.wait is None


@pytest.mark.parametrize("move", [daily_quota, lambda: too_many("9000")], ids=["named", "a long wait"])
def test_a_daily_quota_says_when_to_resume(any_server, question, move):
    any_server.script = lambda _: move()
    with pytest.raises(DailyQuota, match=r"run it again after .* in 2 h \d+ min"):
        ask(teacher(any_server), question)


def test_a_daily_quota_without_a_time_ends_at_midnight(any_server, question):
    any_server.script = lambda _: error(429, "Quota exceeded: PerDay", {"Retry-After": "22"})
    with pytest.raises(DailyQuota, match="00:00 Pacific"):
        ask(teacher(any_server), question)


@pytest.mark.parametrize(
    ("move", "advice"),
    [
        (bad_key(), "check A_KEY"),
        (error(400, "API key not valid."), "check A_KEY"),
        (error(402, "Insufficient credits."), "no credit left"),
        (error(429, "You exceeded your current quota.", code="insufficient_quota"), "no credit left"),
        (error(403, "Not so."), "A_KEY may use this model"),
        (error(404, "The model does not exist."), r"teachers\.mine\.model"),
        (Move(405, {"detail": "Method Not Allowed"}), r"teachers\.mine\.base_url"),
    ],
)
def test_errors_that_stay_say_what_to_do(any_server, question, move, advice):
    any_server.script = lambda _: move
    with pytest.raises(InputError, match=rf"{move.status}: \w.*{advice}") as stopped:
        ask(teacher(any_server, name="mine"), question)
    assert KEY not in str(stopped.value)
    assert len(any_server.requests) == 1


def test_not_even_a_part_of_the_key_is_repeated(any_server, question):
    any_server.script = lambda _: error(401, f"{'x' * 265} {KEY}")
    with pytest.raises(InputError, match="401: xxx") as stopped:
        ask(teacher(any_server), question)
    assert KEY[:3] not in str(stopped.value)


def test_an_error_that_repeats_the_request_is_not_taken_to_be_about_the_schema(any_server, question):
    any_server.script = lambda request: error(400, f"Bad image: {request.body}")
    asked = teacher(any_server)
    with pytest.raises(Refused):
        ask(asked, question)
    any_server.script = answer
    ask(asked, question)
    assert "response_format" in any_server.requests[-1].body


def test_an_address_that_is_another_one_is_said(any_server, question):
    with pytest.raises(InputError, match=r"404: Not Found \(check teachers\.openai\.model and base_url\)"):
        ask(teacher(any_server, base_url=any_server.url), question)


@pytest.mark.parametrize(
    "move",
    [
        bad_image(),
        error(413, "Too large."),
        Move(400, "<html>Bad request</html>"),
        Move(400, {"object": "error", "message": "Not a multimodal model", "code": 400}),
        error(500, "image input is not supported by this server", code=500),
        error(501),
        error(403, "Flagged.", metadata={"reasons": ["violence"], "flagged_input": "…"}),
        error(400, "input: data:image/png;base64," + "A" * 100_000),
    ],
    ids=["bad image", "large", "HTML", "SGLang", "no eyes", "501", "moderated", "a server that repeats it all"],
)
def test_a_request_that_is_refused_may_be_the_only_one(any_server, question, move):
    any_server.script = lambda _: move
    with pytest.raises(Refused, match=str(move.status)) as refused:
        ask(teacher(any_server), question)
    assert refused.value.advice
    assert len(str(refused.value)) < 400
    assert len(any_server.requests) == 1


@pytest.mark.parametrize("status", [200, 400, 429, 503])
@pytest.mark.parametrize("body", ["[]", "null", "", '{"error": "no"}', '{"choices": [null]}', '{"choices": 3}', "[[]]"])
def test_a_body_of_another_shape_is_no_bug_of_ours(any_server, question, status, body):
    any_server.script = lambda _: Move(status, body)
    with suppress(TryAgain, Refused):
        assert not ask(teacher(any_server), question).said


@pytest.mark.parametrize(("key", "said"), [("", "A_KEY is not set"), ("sk-\n", "letters that no key has")])
def test_without_its_key_nothing_is_sent(any_server, question, monkeypatch, key, said):
    monkeypatch.setenv("A_KEY", key)
    with pytest.raises(InputError, match=said):
        ask(teacher(any_server), question)
    assert not any_server.requests


def test_without_the_package_one_line_says_how_to_install_it(any_server, question, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.delitem(sys.modules, "analyzers.openai.server", raising=False)
    with pytest.raises(InputError, match=r"needs openai, which is not installed: pip install -r requirements-openai"):
        ask(teacher(any_server), question)
