"""m3agiqa serve: from the command to its end, and what cannot be served."""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

import m3agiqa
from m3agiqa.bundle import cards, pack
from m3agiqa.commands import serve
from m3agiqa.errors import InputError
from m3agiqa.model_card import render
from m3agiqa.scorer import Scorer
from tests.ctrl_c import taking_ctrl_c
from tests.served import KEY, plain, png, told

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "bundle"
    quality = {"quality": parts["quality"]}
    pack(quality, folder, render(cards(quality)))
    return folder


@contextmanager
def started(programs, bundle):
    """The command, and where it listens."""
    command = [programs / "python", "-m", "m3agiqa", "serve", "--bundle", bundle, "--port", "0", "--device", "cpu"]
    environment = os.environ | {serve.KEY: KEY}
    how = {"cwd": ROOT, "env": environment, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **how, preexec_fn=taking_ctrl_c) as process:  # noqa: PLW1509 (no thread of ours runs)
        try:
            line = process.stderr.readline()
            found = re.fullmatch(r"serve: scores quality at (http://127\.0\.0\.1:(\d+))\n", line)
            assert found, line + process.stderr.read()
            while not listens(int(found[2])):  # it says where, and then listens
                assert process.poll() is None
                time.sleep(0.05)
            yield process, found[1]
        finally:
            process.kill()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("end", "code", "last"),
    [(signal.SIGINT, 0, "serve: stopped; what had come is answered\n"), (signal.SIGTERM, -signal.SIGTERM, "")],
)
def test_the_command(programs, bundle, end, code, last):
    with started(programs, bundle) as (process, url):
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx2.Client(base_url=url, headers=headers, timeout=60) as client:
            assert client.get("/health").json() == {"status": "ready"}
            (scores,) = told(client.post("/v1/scores", files={"images": png(60)}))
        assert scores == {"quality": plain(Scorer.load(bundle, device="cpu")([png(60)], aspect="quality")[0])}
        process.send_signal(end)
        assert (process.stderr.read(), process.wait(60)) == (last, code)  # and the key in none of it


def test_a_second_ctrl_c_ends_it_at_once(programs, bundle):
    with started(programs, bundle) as (process, url):
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 60) as client:
            client.sendall(f"POST /v1/scores HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n".encode())
            client.sendall(b"Content-Length: 100\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n")
            assert httpx2.get(f"{url}/health").status_code == 200  # what came before it has been read
            process.send_signal(signal.SIGINT)
            while listens(port):
                time.sleep(0.05)
            assert process.poll() is None  # it waits for the rest of the request
            process.send_signal(signal.SIGINT)
            assert (process.stderr.read(), process.wait(60)) == ("", 130)


def arguments(*given):
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_args(given)


@pytest.mark.parametrize(
    ("given", "key", "why"),
    [
        (("--host", "0.0.0.0"), "", "set M3AGIQA_KEY"),  # noqa: S104 (it is refused)
        (("--host", "example.org"), "", "set M3AGIQA_KEY"),
        (("--host", "::"), "", "set M3AGIQA_KEY"),
        ((), "two words", "no header can have"),
        ((), "clé", "no header can have"),
        (("--batch", "0"), "", "--batch is 0"),
        (("--port", "99999"), "", "--port is 99999"),
        (("--host", "no such host"), KEY, "cannot listen at no such host, port 8000"),
        (("--bundle", "no/such/folder", "--port", "0"), "", "no/such/folder"),
    ],
)
def test_what_cannot_be_served_is_one_line(monkeypatch, given, key, why):
    monkeypatch.setenv(serve.KEY, key)
    with pytest.raises(InputError) as error:
        serve.run(arguments(*given))
    assert why in str(error.value)
    assert "\n" not in str(error.value)
    assert not key or key not in str(error.value)


def test_a_port_that_is_taken_is_said_before_the_judge_is_loaded():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen at 127.0.0.1, port {port}: Address already in use"):
            serve.run(arguments("--port", str(port), "--bundle", "no/such/folder"))


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "m3agiqa.server")
    monkeypatch.delattr(m3agiqa, "server")
    with pytest.raises(InputError, match=r"make serve, or pip install 'm3agiqa\[serve\]'"):
        serve.run(arguments("--bundle", "no/such/folder"))
