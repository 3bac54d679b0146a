"""The caption stage with the teacher `openai`, where it differs from the others: what it costs, and servers' ways."""

import sys

import pytest

from pipeline import paths
from tests.captioned import captions, ends, run, totals
from tests.every_teacher import KEY_VARIABLE, openai_params
from tests.openai_server import KEY, MODEL, OpenAIServer, answer, daily_quota, no_schemas

pytest.importorskip("openai", reason="openai is in requirements-openai.txt")

PRICES = {"date": "2026-11-29", "input": 2.0, "output": 8.0}


@pytest.fixture
def server(monkeypatch):
    with OpenAIServer() as server:
        monkeypatch.setenv(KEY_VARIABLE, KEY)
        yield server


@pytest.fixture
def openai(project, server):
    """The project before this server; `openai(**changes)` writes the teacher's settings again."""

    def write(**changes):
        project(**openai_params(server, **changes))

    write()
    return write


def test_a_server_without_prices_costs_nothing(openai, server, capsys):
    server.key = None
    openai(key_variable=None)
    run(dry_run=True)
    assert "12 images, 0 of them failed before; 12 new requests" in capsys.readouterr().out
    run()
    assert (totals()["usd"], totals()["prices_of"]) == (0, None)
    assert totals()["tokens"]["input"] > 12 * 258
    assert totals()["answered_by"] == {MODEL: 12}
    assert captions()["saw_mos"].all()


def test_what_a_server_with_prices_will_cost_is_known_from_answers(openai, server, capsys):
    openai(prices=PRICES)
    run(dry_run=True)
    said = capsys.readouterr().out
    assert "12 new requests" in said
    assert "counted by the service" not in said
    assert "prices of 2026-11-29" in said
    assert not server.requests
    server.script = lambda request: answer(request) if request.number < 9 else daily_quota()
    assert ends(capsys)[0] == 75
    run(dry_run=True)
    said = capsys.readouterr().out
    assert "3 new requests" in said
    assert "by the mean of" in said
    server.script = answer
    run()
    tokens = totals()["tokens"]
    assert totals()["usd"] == pytest.approx((2 * tokens["input"] + 8 * tokens["output"]) / 1e6, abs=1e-4)
    assert totals()["prices_of"] == "2026-11-29"


def test_a_server_that_takes_no_schema_is_asked_in_words_and_counts_the_request(openai, server):
    server.script = no_schemas
    run()
    assert len(captions()) == 12
    told = ["response_format" in request.body for request in server.requests]
    assert told == [True] + [False] * 12
    assert totals()["requests"] == 13
    run()
    assert len(server.requests) == 13


def test_another_server_is_asked_anew(openai, server):
    run()
    openai(base_url=f"{server.base_url}/")
    run()
    assert len(server.requests) == 12
    openai(base_url=server.base_url.replace("127.0.0.1", "localhost"))
    run()
    assert len(server.requests) == 24


def test_how_the_key_is_named_and_what_it_costs_asks_nothing(openai, server, monkeypatch):
    run()
    before = paths.captions("folder").read_bytes()
    monkeypatch.setenv("ANOTHER_KEY", KEY)
    openai(key_variable="ANOTHER_KEY", prices=PRICES)
    run()
    assert len(server.requests) == 12
    assert paths.captions("folder").read_bytes() == before


def test_without_the_package_the_stage_ends_in_one_line(openai, server, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.delitem(sys.modules, "analyzers.openai.server", raising=False)
    status, said = ends(capsys)
    assert status == 2
    assert said.endswith(
        "needs openai, which is not installed: pip install -r requirements-openai.txt -c constraints.txt"
    )
    assert not server.requests
