"""m3agiqa bundle: what is in the folder already is kept, whatever happens to the run that packs it anew."""

import argparse
import os
import threading
import time
from pathlib import Path

import pytest

from m3agiqa import bundle, model_paths
from m3agiqa.commands import bundle as command
from m3agiqa.errors import InputError

OUT = Path("bundle")


@pytest.fixture
def train(parts, tmp_path, monkeypatch):
    """A clone in which one aspect is trained; another's parts go then, as DVC takes them."""
    monkeypatch.chdir(tmp_path)

    def train(aspect: str) -> None:
        part = parts[aspect]
        places = [
            (getattr(model_paths, name), getattr(part, name)) for name in ("card", "adapter", "head", "fast_head")
        ]
        for place, source in places:
            for other in parts:
                place("made", other).unlink(missing_ok=True)
            place("made", aspect).parent.mkdir(parents=True, exist_ok=True)
            place("made", aspect).symlink_to(source)

    return train


def pack(*, note: str | None = None, licence: str | None = None) -> None:
    command.run(argparse.Namespace(out=OUT, dataset=None, device="cpu", note=note, license=licence))


class Killed(BaseException):
    """No handler of an error's, and no more work."""


@pytest.fixture
def kill(monkeypatch):
    """Let `pack` be killed at its renaming to a place."""

    def kill(place: Path) -> None:
        rename = os.replace

        def replace(source, target):
            if Path(target) == place:
                raise Killed
            rename(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", replace)
            with pytest.raises(Killed):
                pack()

    return kill


def test_one_aspect_after_the_other(train):
    for number, aspect in enumerate(("quality", "correspondence"), start=1):
        train(aspect)
        pack()
        assert len(bundle.open_bundle(OUT)) == number


def test_its_terms_stay_until_others_are_given(train):
    train("quality")
    pack(note="Not for sale.", licence="cc-by-nc-4.0")
    train("correspondence")
    pack()
    text = (OUT / "README.md").read_text()
    assert "**Not for sale.**" in text
    assert "license: cc-by-nc-4.0" in text
    pack(note="")
    text = (OUT / "README.md").read_text()
    assert "Not for sale" not in text
    assert "license: cc-by-nc-4.0" in text


@pytest.mark.parametrize("place", [Path(".bundle.old"), OUT, Path(".bundle.partial")])
def test_killed_at_any_rename_no_aspect_is_lost(train, kill, place):
    train("quality")
    pack()
    train("correspondence")
    kill(place)
    if place == OUT:
        with pytest.raises(InputError, match="a run that packs it was cut, m3agiqa bundle puts it back"):
            bundle.open_bundle(OUT)
    pack()
    assert list(bundle.open_bundle(OUT)) == ["quality", "correspondence"]
    assert sorted(os.listdir()) == ["bundle", "models"]


def test_a_run_waits_for_another_and_keeps_what_it_packed(train, parts, capsys):
    train("correspondence")
    second, said = threading.Thread(target=pack), ""
    with bundle.alone_at(OUT):
        second.start()
        while second.is_alive() and "another run packs bundle; waiting" not in said:
            said += capsys.readouterr().err
            time.sleep(0.01)
        assert second.is_alive()
        bundle.pack({"quality": parts["quality"]}, OUT, "card")
    second.join(60)
    assert list(bundle.open_bundle(OUT)) == ["quality", "correspondence"]
