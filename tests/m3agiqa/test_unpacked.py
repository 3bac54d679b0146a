"""Pictures out of other files: on the disk for as long as somebody needs them, and named by what they are."""

import gc
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from m3agiqa import unpacked
from m3agiqa.errors import InputError
from m3agiqa.unpacked import Unpacked

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out/.cache/unpacked"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_picture_is_there_until_nobody_holds_it(folder):
    held = Unpacked(folder)
    assert not folder.parent.exists()
    path = held.put(iter([b"one", b"two"]), "shard.tar/0001.jpg", 6)
    held.shown()
    assert path.read_bytes() == b"onetwo"
    assert re.fullmatch(r"[0-9a-f]{32}-0001\.jpg", path.name)
    assert folder.stat().st_mode & 0o077 == 0
    del held
    gc.collect()
    assert not folder.exists()


def test_one_content_and_name_is_one_file_and_the_same_in_every_run(folder):
    for _ in range(2):
        held = Unpacked(folder)
        paths = [
            held.put([content], name, 1) for content, name in ((b"x", "a/1.jpg"), (b"x", "b/1.jpg"), (b"y", "1.jpg"))
        ]
        assert paths[0] == paths[1] != paths[2]
        assert len(files(folder)) == 2
        before, held = paths, None
    assert paths == before


@pytest.mark.parametrize(
    "name", ["../../up.png", "a\nb.png", "é" * 300 + ".png", "..", "/", "", "con:.png", "\udcff.png"]
)
def test_a_name_leads_nowhere(folder, name):
    held = Unpacked(folder)
    path = held.put([b"x"], name, 1)
    assert path.resolve().is_relative_to(folder.resolve())
    assert re.fullmatch(r"[\w.-]{33,100}", path.name, re.ASCII)


def test_runs_at_the_same_time_share_and_the_last_one_tidies_up(folder):
    first, second = Unpacked(folder), Unpacked(folder)
    one = first.put([b"one"], "1.jpg", 3)
    assert second.put([b"one"], "1.jpg", 3) == one
    two = second.put([b"two"], "2.jpg", 3)
    del first
    gc.collect()
    assert (one.read_bytes(), two.read_bytes()) == (b"one", b"two")
    del second
    gc.collect()
    assert not folder.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from m3agiqa.unpacked import Unpacked

held = Unpacked(Path(sys.argv[1]))
held.put([b"one"], "1.jpg", 3)
def chunks():
    yield b"half of "
    os.kill(os.getpid(), signal.SIGKILL)
held.put(chunks(), "2.jpg", 9)
"""


def test_what_a_killed_run_left_is_taken_away(folder):
    ran = subprocess.run([sys.executable, "-c", KILLED, folder], cwd=ROOT, capture_output=True, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert len(files(folder)) == 2
    held = Unpacked(folder)  # also where it unpacks nothing itself
    assert files(folder) == []
    assert held.put([b"one"], "1.jpg", 3).exists()


def test_a_forked_child_takes_nothing_away(folder):
    held = Unpacked(folder)
    path = held.put([b"one"], "1.jpg", 3)
    parent = os.getpid() + 1  # as a child sees it
    unpacked._leave(os.open(folder.with_name("unpacked.lock"), os.O_RDWR), folder, parent)
    assert path.exists()


def test_what_fails_on_the_way_leaves_nothing(folder):
    def chunks():
        yield b"half"
        raise InputError("damaged")

    held = Unpacked(folder)
    with pytest.raises(InputError, match="damaged"):
        held.put(chunks(), "1.jpg", 8)
    assert files(folder) == []


def test_more_than_the_disk_has_is_refused_before_it_is_full(folder):
    held = Unpacked(folder)
    size = shutil.disk_usage(folder.parents[2]).total * 2
    with pytest.raises(InputError, match=r"1\.jpg: [\d,]+ bytes to unpack into .*, and the disk has [\d,]+ left"):
        held.put([b"x"], "1.jpg", size)
    assert files(folder) == []
