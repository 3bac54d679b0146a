"""What a user types and sees: the caption stage's options as a real command line, and its progress."""

import json
import re

import pytest

from data.tables.frames import read_table
from m3agiqa import progress as shown
from pipeline import paths
from pipeline.settings import load
from stages import caption
from tests.caption_project import start, write_params, write_samples, write_splits
from tests.gemini_server import KEY, GeminiServer, answer, blocked_prompt

IMAGES, BLOCKED = 8, '"ball 1"'


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_samples(IMAGES)
    write_splits(["train"] * (IMAGES - 2) + ["val", "test"])
    write_params(**{"caption.max_failed": 0.2})
    return tmp_path


@pytest.fixture
def said(programs):
    def said(project, server, *options):
        running = start(project, server, *options, python=programs / "python")
        text = running.communicate()[0].decode()
        assert running.returncode == 0, text
        return text

    return said


def test_the_options(project, said):
    with GeminiServer(
        lambda request: blocked_prompt(request) if BLOCKED in request.text else answer(request)
    ) as server:
        estimate = said(project, server, "--dry-run")
        assert "7 images, 0 of them failed before; 7 new requests" in estimate
        assert re.search(r"input:  [\d,]+ tokens \(counted by the service on 7 of them\)", estimate)
        assert re.search(r"cost:   \$0\.\d\d for the input .* \(prices of 2026-11-25", estimate)
        assert "at the limits in runtime.teacher" in estimate
        assert not server.requests
        assert not list(project.glob("data/captions/*"))

        assert "images/1.png: prompt: PROHIBITED_CONTENT" in said(project, server)
        assert len(server.requests) == 7
        assert "1" not in set(read_table(paths.captions("folder"))["image_id"])

        server.script = answer
        assert "7 images, 1 of them failed before; 1 new requests" in said(
            project, server, "--dry-run", "--retry-blocked"
        )
        said(project, server, "--retry-blocked")
        assert [BLOCKED in request.text for request in server.requests[7:]] == [True]
        assert len(read_table(paths.captions("folder"))) == 7

        server.script = lambda request: answer(request, version="gemini-4-argon")
        time = re.search(r"go on with --refresh (\S+)", said(project, server, "--refresh"))[1]
        assert len(server.requests) == 8 + 7
        said(project, server, "--refresh", time)
        assert len(server.requests) == 8 + 7
    totals = json.loads((project / "results/caption.json").read_text())
    assert totals["answered_by"] == {"gemini-3.8-flash": 8, "gemini-4-argon": 7}


def test_a_running_stage_says_how_fast_how_long_and_what_it_cost(project, monkeypatch, capsys):
    monkeypatch.setattr(shown, "LOG_SECONDS", 0)
    with GeminiServer(lambda request: answer(request, delay=0.02, thinking=5000)) as server:
        monkeypatch.setenv("DVC_ROOT", str(project))
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        monkeypatch.setenv("GEMINI_API_ENDPOINT", server.url)
        caption.main(load())
    pattern = r"caption: (\d)/7 images \[[\d:]+<[\d:]+, +[\d.]+ images/s, ([\d,]+) tokens, \$([\d.]+)\]"
    lines = re.findall(pattern, capsys.readouterr().err)
    done, tokens, usd = zip(*((int(n), int(t.replace(",", "")), float(d)) for n, t, d in lines), strict=True)
    assert len(lines) > 2
    assert done[-1] == 7
    assert list(done) == sorted(done)
    assert all(spent > 5000 * number for number, spent in zip(done, tokens, strict=True))
    totals = json.loads((project / "results/caption.json").read_text())
    assert tokens[-1] == sum(totals["tokens"].values())
    assert usd[-1] == pytest.approx(totals["usd"], abs=0.005)
