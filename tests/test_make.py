"""The Makefile on machines that are not ours: it is read by make, and every program that it starts here is a fake."""

import os
import re
import shutil
import subprocess

import pytest

from tests.author import AUTHOR
from tests.cloned import FAKE, ROOT, asked, clone_in, make, python, venv

VENV_PROGRAMS = ("dvc", "pip", "pytest", "python", "ruff", "mypy", "m3agiqa")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    return clone_in(tmp_path, monkeypatch)


def said(ran: subprocess.CompletedProcess[str]) -> list[str]:
    """The error output, less make's own last word."""
    return [line for line in ran.stderr.splitlines() if "***" not in line]


def targets() -> list[str]:
    named = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    return [name for name in named if name not in ("help", "git", "author", "FORCE")]


def test_make_alone_lists_every_target(clone):
    listed = make(clone).stdout.splitlines()
    assert [line.split()[1] for line in listed] == targets()
    assert all(len(line.split()) > 3 for line in listed)


@pytest.mark.parametrize("target", targets())
def test_programs_of_the_environment_are_named_by_path(clone, target):
    planned = make(clone, "--dry-run", target)
    assert planned.returncode == 0, planned.stderr
    commands = re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", planned.stdout)  # what is quoted or a remark is no program
    for line in re.split(r"[\n;|&(]", commands.replace("PATH=", "")):
        words = [word for word in line.split() if word not in ("do", "then", "if", "{")]
        first = next((word for word in words if "=" not in word), "")
        assert first not in VENV_PROGRAMS, line
    assert ".venv/bin/" in commands


def test_what_dvc_starts_finds_the_environment_first(clone):
    venv(clone, "3.11")
    (clone / ".venv/bin/dvc").write_text("#!/bin/sh\ncommand -v python\npython -m stages.source\n")
    (clone / ".venv/bin/dvc").chmod(0o755)
    ran = make(clone, "repro")
    assert ran.returncode == 0, ran.stderr
    assert f"{clone}/.venv/bin/python\n" in ran.stdout
    assert asked(clone).splitlines()[-2:] == [
        f"{clone}/.venv/bin/python -m stages.source",
        ".venv/bin/python -m report.summary",
    ]


LOCK = '{"write": {}, "read": {"/a": [{"pid": 1, "cmd": "dvc repro"}]}}'


@pytest.mark.parametrize(
    ("written", "stays"), [("", False), (LOCK[:-30], False), (LOCK[:-1], False), (LOCK, True), (None, False)]
)
def test_a_lock_that_a_kill_left_empty_or_cut_short_is_removed(clone, written, stays):
    """DVC writes it in place; a whole one may be another run's."""
    venv(clone, "3.11")
    python(clone / ".venv/bin", "3.11", "dvc")
    lock = clone / ".dvc/tmp/rwlock"
    lock.parent.mkdir(parents=True)
    if written is not None:
        lock.write_text(written)
    ran = make(clone, "repro")
    assert ran.returncode == 0, ran.stderr
    assert lock.exists() == stays


RAN = """schema: '2.0'
stages:
  split:
    cmd: python -m stages.split
    outs:
    - path: splits.parquet
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 1234
"""


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (RAN.replace("1234", "5678"), RAN.replace("1234", "5678")),
        (RAN[: RAN.index("md5: 0") + 3], RAN),
        (RAN[: RAN.index(" splits")], RAN),
    ],
    ids=["of a run since", "no YAML", "not DVC's"],
)
def test_what_dvc_has_run_is_gits_again_where_a_kill_has_cut_it_short(clone, written, found):
    (clone / "dvc.lock").write_text(RAN)
    for command in (["add", "dvc.lock"], ["commit", "--quiet", "--message", "a run"]):
        subprocess.run(["git", *command], cwd=clone, env=os.environ | AUTHOR, check=True)
    venv(clone, "3.11")
    python(clone / ".venv/bin", "3.11", "dvc")
    (clone / "dvc.lock").write_text(written)
    ran = make(clone, "repro")
    assert ran.returncode == 0, ran.stderr
    assert (clone / "dvc.lock").read_text() == found


@pytest.mark.parametrize(("version", "named"), [("3.10", "is 3.10"), ("2.7", "is 2.7"), ("", "is not there")])
def test_an_old_python_is_said_first_in_one_line(clone, tmp_path, version, named):
    ran = make(clone, "repro", f"PYTHON={python(tmp_path / 'bin', version)}")
    assert ran.returncode != 0
    (line,) = said(ran)
    assert "3.11 or newer" in line
    assert named in line
    assert "make PYTHON=python3.12" in line
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.20"])
def test_python_is_looked_up_outside_the_environment(clone, tmp_path, version):
    outside = python(tmp_path / "bin", version).parent
    venv(clone, "3.9")
    shutil.copy(clone / ".venv/bin/python", clone / ".venv/bin/python3")
    ran = make(clone, ".venv/bin/installed", path=f"{outside}{os.pathsep}{os.environ['PATH']}")
    assert ran.returncode == 0, ran.stderr
    assert (clone / ".venv/bin/fake_version").read_text() == f"{version}\n"
    assert f"{outside}/python3 -m venv .venv\n" in asked(clone)
    assert "-m pip install --quiet --requirement requirements.txt" in asked(clone)


def test_a_whole_environment_is_left_alone(clone, tmp_path):
    venv(clone, "3.11")
    ran = make(clone, ".venv/bin/installed", "PYTHON=" + str(python(tmp_path / "bin", "3.11")))
    assert ran.returncode == 0, ran.stderr
    assert "-m" not in asked(clone)


def spoil_nothing(clone):
    """It is the wrong Python that asks for a new one."""


def spoil_mark(clone):
    (clone / ".venv/half-made").write_text("999999999\n")


def spoil_python(clone):
    (clone / ".venv/bin/python").unlink()
    (clone / ".venv/bin/python").symlink_to(clone / "gone")


def spoil_pip(clone):
    (clone / ".venv/bin/python").write_text('#!/bin/sh\necho "No module named pip" >&2\nexit 1\n')


def spoil_place(clone):
    (clone / ".venv/bin/made").write_text("/another/clone\n")


@pytest.mark.parametrize(
    ("version", "spoil"),
    [
        ("3.10", spoil_nothing),
        ("3.11", spoil_nothing),  # not the one that PYTHON= asks for
        ("3.12", spoil_mark),
        ("3.12", spoil_python),
        ("3.12", spoil_pip),
        ("3.12", spoil_place),
    ],
)
def test_an_environment_that_will_not_do_is_made_anew(clone, tmp_path, version, spoil):
    venv(clone, version)
    (clone / ".venv/left_over").touch()
    spoil(clone)
    ran = make(clone, ".venv/bin/installed", f"PYTHON={python(tmp_path / 'bin', '3.12')}")
    assert ran.returncode == 0, ran.stderr
    assert not (clone / ".venv/left_over").exists()
    assert "-m venv .venv" in asked(clone)
    assert "-m pip install" in asked(clone)
    assert not (clone / ".venv/half-made").exists()


def test_what_was_cut_off_stays_marked_and_what_failed_does_not(clone, tmp_path):
    found = python(tmp_path / "bin", "3.12")
    for ending, marked in (("kill -9 $PPID", True), ("exit 1", False)):
        found.write_text(FAKE.replace("esac", f'"-m pip") {ending} ;;\nesac'))
        shutil.rmtree(clone / ".venv", ignore_errors=True)
        assert make(clone, ".venv/bin/installed", f"PYTHON={found}").returncode != 0
        assert (clone / ".venv/half-made").exists() == marked
        assert not (clone / ".venv/bin/installed").exists()


def test_an_environment_that_another_make_is_making_is_left_alone(clone):
    venv(clone, "3.12")
    (clone / ".venv/half-made").write_text(f"{os.getpid()}\n")
    ran = make(clone, ".venv/bin/installed")
    assert ran.returncode != 0
    (line,) = said(ran)
    assert f"process {os.getpid()} is installing into .venv" in line
    assert asked(clone) == ""


def test_a_copy_without_git_is_said_in_one_line(clone):
    shutil.rmtree(clone / ".git")
    venv(clone, "3.11")
    ran = make(clone, "repro")
    assert ran.returncode != 0
    assert said(ran) == ["make: no git repository here, and DVC wants one: git init, or work in a clone"]


def test_a_machine_without_git_is_said_in_one_line(clone, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "cat", "dirname"):
        (programs / name).symlink_to(shutil.which(name))
    ran = make(clone, "repro", path=str(programs))
    assert ran.returncode != 0
    assert said(ran) == ["make: git is missing, and DVC works with it: install git"]
