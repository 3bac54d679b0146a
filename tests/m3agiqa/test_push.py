"""m3agiqa push, to a hub of the test's own: what arrives scores the same, whole or not at all; errors are one line."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from m3agiqa import bundle
from m3agiqa.commands import push
from m3agiqa.errors import InputError
from m3agiqa.model_card import render
from m3agiqa.scorer import Scorer
from tests.hub_server import MINE, START, Fault, HubServer, at
from tests.tiny_mllm import picture

ROOT = Path(__file__).parents[2]
ASK = {"images": [picture(30), picture(31)], "prompts": ["a red cube", "a sphere"]}
NOTE = "For non-commercial use only."
NAME = "me/judge"

# huggingface_hub's own, where it sends a large file without Xet.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def packed(parts, tmp_path_factory) -> Path:
    """Read-only."""
    out = tmp_path_factory.mktemp("pushed") / "bundle"
    bundle.pack(parts, out, render(bundle.cards(parts), NOTE))
    return out


@pytest.fixture
def hub(tmp_path):
    with HubServer() as server, at(server, str(tmp_path / "cache")):
        yield server


def run(*given: object) -> None:
    parser = argparse.ArgumentParser()
    push.add_arguments(parser)
    push.run(parser.parse_args(list(map(str, given))))


def refused(*given: object) -> str:
    with pytest.raises(InputError) as error:
        run(*given)
    assert "\n" not in str(error.value)
    assert MINE not in str(error.value)
    return str(error.value)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_pushed_scores_the_same_from_its_address(hub, packed, capsys):
    run(packed, NAME)
    said = capsys.readouterr()
    address = said.out.strip()
    assert address == f"hf://{NAME}@{hub.repositories[NAME].head[0]}"
    assert f"files sent; score with m3agiqa predict --bundle {address}" in said.err
    assert MINE not in said.out + said.err
    here, there = (Scorer.load(place, device="cpu") for place in (packed, address))
    assert there.aspects == here.aspects == ("quality", "correspondence")
    for aspect in here.aspects:
        assert there(**ASK, aspect=aspect) == here(**ASK, aspect=aspect)


def test_exactly_its_files_arrive_in_one_commit(hub, packed):
    run(packed, NAME)
    repository = hub.repositories[NAME]
    assert not repository.private
    assert len(repository.commits) == 2  # the first makes the repository
    assert repository.head[1] == START | files(packed)
    assert NOTE in repository.head[1]["README.md"].decode()
    assert hub.large  # some went up by their SHA-256


def test_the_same_bundle_is_not_sent_again(hub, packed, capsys):
    run(packed, NAME)
    first = capsys.readouterr().out
    hub.requests.clear()
    run(packed, NAME)
    said = capsys.readouterr()
    assert said.out == first
    assert "the same bundle was there already, and nothing was sent" in said.err
    assert all(request.startswith("GET /api/models/") for request in hub.requests)


def test_another_bundle_takes_its_place_and_what_is_not_its_own_stays(hub, parts, packed, tmp_path, capsys):
    run(packed, NAME)
    hub.repositories[NAME].commit(hub.repositories[NAME].head[1] | {"photo.png": b"a picture for the page"})
    quality = {"quality": parts["quality"]}
    bundle.pack(quality, tmp_path / "one", render(bundle.cards(quality)))
    hub.requests.clear()
    run(tmp_path / "one", NAME)
    said = capsys.readouterr()
    assert "takes out of me/judge what is not of the bundle: correspondence/adapter/" in said.err
    assert hub.repositories[NAME].head[1] == START | files(tmp_path / "one") | {"photo.png": b"a picture for the page"}
    assert not hub.count("PUT ")  # the large files were there
    assert list(bundle.open_bundle(said.out.split()[-1])) == ["quality"]


def test_a_byte_that_was_changed_on_the_hub_is_mended(hub, packed):
    run(packed, NAME)
    good = hub.repositories[NAME].head[1]
    for name in ("README.md", "quality/head/head.safetensors"):
        hub.repositories[NAME].commit(good | {name: good[name][:-1] + b"\0"})
        run(packed, NAME)
        assert hub.repositories[NAME].head[1] == good


def test_private_is_asked_for_and_kept(hub, packed):
    run(packed, NAME, "--private")
    assert hub.repositories[NAME].private
    run(packed, NAME)  # says nothing about it: as it is
    hub.make("me/open")
    assert "me/open is public: make it private on its page" in refused(packed, "me/open", "--private")
    assert hub.repositories["me/open"].head[1] == START


def test_a_model_of_another_kind_is_not_written_over(hub, packed):
    theirs = {"README.md": b"---\n---\n", "model.safetensors": b"weights"}
    hub.make(NAME, theirs)
    assert "holds something else than a bundle (model.safetensors)" in refused(packed, NAME)
    assert hub.repositories[NAME].head[1] == START | theirs


@pytest.mark.parametrize(
    "name", ["judge", "me/", "me/a/b", "hf://me/judge", "me/judge@main", "me/ju dge", "me/..", "me/a--b"]
)
def test_what_names_no_repository_is_refused_before_anything_is_asked(hub, packed, name):
    assert name in refused(packed, name)
    assert not hub.requests


def test_what_is_no_bundle_is_refused_before_anything_is_asked(hub, packed, tmp_path):
    assert "no bundle here" in refused(tmp_path / "nowhere", NAME)
    assert "no bundle here" in refused(packed / "quality", NAME)
    own = Path(shutil.copytree(packed, tmp_path / "own"))
    (own / "README.md").write_text("edited")
    assert "README.md changed since the bundle was packed" in refused(own, NAME)
    assert not hub.requests


def test_who_has_no_token_is_told_how_to_get_one(hub, packed, tmp_path):
    with at(hub, str(tmp_path / "cache"), token=None):
        assert "the hub must know who you are: `hf auth login`, or a token in HF_TOKEN" in refused(packed, NAME)
    assert not hub.requests


@pytest.mark.parametrize(
    ("given", "why"), [("hf_secret", "401"), ("hf_sec\x0bret", "not to be had"), ("hf_s\xe9cret", "not to be had")]
)
def test_a_token_that_will_not_do_is_not_shown(hub, packed, tmp_path, given, why):
    with at(hub, str(tmp_path / "cache"), given):
        said = refused(packed, NAME)
    assert why in said
    assert not any(part in said for part in ("hf_", "ret"))
    assert not hub.repositories


def test_an_owner_that_is_not_yours_is_said(hub, packed):
    assert "the hub answers 403 (this token may not write there" in refused(packed, "you/judge")
    hub.make("you/judge")
    assert "the hub answers 403" in refused(packed, "you/judge")
    assert hub.repositories["you/judge"].head[1] == START


@pytest.mark.parametrize(
    ("status", "what"),
    [(401, "does not know this token"), (404, "nothing is there"), (429, "too many requests"), (500, "it says: busy")],
)
def test_what_the_hub_answers_is_one_line(hub, packed, status, what):
    hub.script = lambda request: Fault(status, f"busy {MINE}") if "/create" in request else None
    said = refused(packed, NAME)
    assert f"{NAME}: the hub answers {status}" in said
    assert what in said


def test_no_network_is_one_line(hub, packed):
    hub._http.server_close()
    hub._http.shutdown()
    assert f"{NAME}: the hub is not to be had" in refused(packed, NAME)


def test_what_the_hub_will_not_have_in_a_card_is_said(hub, parts, tmp_path):
    bundle.pack(parts, tmp_path / "own", render(bundle.cards(parts), licence="mine-alone"))
    assert "license must be one of those" in refused(tmp_path / "own", NAME)
    assert hub.repositories[NAME].head[1] == START


def test_who_was_overtaken_puts_nothing_there(hub, packed):
    def overtake(request: str) -> None:
        if "/preupload/" in request:
            hub.repositories[NAME].commit({"README.md": b"somebody was faster"})

    hub.script = overtake
    assert "the hub answers 412 (something else was put there meanwhile: run it again" in refused(packed, NAME)
    assert hub.repositories[NAME].head[1] == {"README.md": b"somebody was faster"}


def test_an_answer_that_is_lost_is_found_by_the_next_run(hub, packed, capsys):
    hub.script = lambda request: Fault(lost=True) if "/commit/" in request else None
    assert "the hub is not to be had" in refused(packed, NAME)
    hub.script = lambda _: None
    run(packed, NAME)
    assert "was there already" in capsys.readouterr().err
    assert len(hub.repositories[NAME].commits) == 2


@pytest.mark.parametrize("where", ["PUT /large/", "POST /api/models/me/judge/commit/"])
def test_killed_it_leaves_no_half_bundle_and_the_next_run_goes_on(hub, packed, tmp_path, where):
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "m3agiqa", "push", str(packed), NAME]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL) as running:

        def kill(request: str) -> Fault | None:
            if not request.startswith(where) or (where.startswith("PUT") and not hub.large):
                return None  # one large file arrives
            running.send_signal(signal.SIGKILL)
            return Fault(500)

        hub.script = kill
        running.wait(120)
    assert running.returncode == -signal.SIGKILL
    assert hub.repositories[NAME].head[1] == START
    arrived = set(hub.large)
    assert arrived
    hub.script = lambda _: None
    hub.requests.clear()
    run(packed, NAME)
    assert hub.repositories[NAME].head[1] == START | files(packed)
    assert not any(hub.count(f"PUT /large/{digest}") for digest in arrived)
