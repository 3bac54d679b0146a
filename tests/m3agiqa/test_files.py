import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from m3agiqa import files


def test_atomic_replaces_only_when_the_block_ends_well(tmp_path):
    target = tmp_path / "deep" / "table"
    with files.atomic(target) as temporary:
        temporary.write_text("first")
    with pytest.raises(UnicodeEncodeError), files.atomic(target) as temporary:
        temporary.write_text("half \udcff", encoding="utf-8")
    assert target.read_text() == "first"
    assert [path.name for path in target.parent.iterdir()] == ["table"]


def test_writers_at_once_publish_whole_files_and_the_last_is_read(tmp_path):
    target = tmp_path / "scores.csv"
    with files.atomic(target) as mine:
        mine.write_text("mine, half")
        with files.atomic(target) as theirs, files.atomic(target) as another:
            assert len({mine, theirs, another}) == 3
            theirs.write_text("theirs")
            another.write_text("another")
        assert target.read_text() == "theirs"
        mine.write_text("mine, whole")
    assert target.read_text() == "mine, whole"
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


KILLED = """
import os, signal, sys
from m3agiqa.files import atomic
with atomic(sys.argv[1]) as first, atomic(sys.argv[1]) as second:
    first.write_text("half")
    second.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_goes_and_a_running_ones_stays(tmp_path):
    target, root = tmp_path / "table", Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", KILLED, target], cwd=root, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".table.*.partial"))) == 2
    with files.atomic(target) as running:
        running.write_text("running")
        assert list(tmp_path.glob(".table.*.partial")) == [running]
        with files.atomic(target) as other:
            other.write_text("other")
        assert running.read_text() == "running"
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def _count_up(folder: Path) -> None:
    for _ in range(100):
        with files.one_at_a_time(folder / "lock", "busy"):
            number = int((folder / "number").read_text())
            with files.atomic(folder / "number") as temporary:
                temporary.write_text(str(number + 1))


def test_one_at_a_time_is_one_at_a_time(tmp_path):
    """The lock's file comes and goes with its holders: a process must never hold one that is gone."""
    (tmp_path / "number").write_text("0")
    start = multiprocessing.get_context("spawn")
    counting = [start.Process(target=_count_up, args=(tmp_path,)) for _ in range(4)]
    for process in counting:
        process.start()
    for process in counting:
        process.join()
    assert (tmp_path / "number").read_text() == "400"
    assert os.listdir(tmp_path) == ["number"]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "metrics.json", {"srcc": float("nan")})
    assert not (tmp_path / "metrics.json").exists()
    files.write_json(tmp_path / "metrics.json", {"srcc": None})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"srcc": None}


def test_folder_hash_sees_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    before = files.folder_sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = files.folder_sha256(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({before, renamed, files.folder_sha256(tmp_path)}) == 3


def test_fingerprint_ignores_the_order_of_keys():
    assert files.fingerprint({"a": 1, "b": [2]}) == files.fingerprint({"b": [2], "a": 1})
    assert files.fingerprint({"a": 1}) != files.fingerprint({"a": 1.5})
