"""make judge: the aspects in turn, each packed as it comes; every program is a fake."""

from pathlib import Path

import pytest

from tests.author import AUTHOR
from tests.cloned import FAKE, asked, clone_in, make, python, venv


@pytest.fixture
def clone(tmp_path, monkeypatch):
    for name, value in AUTHOR.items():
        monkeypatch.setenv(name, value)
    return clone_in(tmp_path, monkeypatch)


def judge(clone: Path, *variables: str, dvc: str = FAKE) -> tuple[int, list[str]]:
    """How `make judge` ends, and what it asked dvc and python for."""
    venv(clone, "3.11")
    (clone / "params.yaml").write_text("dataset: my-set      # a name\naspect: quality\ndatasets:\n  other:\n")
    python(clone / ".venv/bin", "3.11", "dvc").write_text(dvc)
    ran = make(clone, "judge", *variables)
    asks = (line.replace(".venv/bin/", "") for line in asked(clone).splitlines())
    return ran.returncode, [line for line in asks if line.startswith("dvc ") or " -m m3agiqa " in line]


def test_a_judge_is_trained_aspect_by_aspect_and_each_is_packed_as_it_comes(clone):
    lock = clone / ".dvc/tmp/exps/rwlock"
    lock.parent.mkdir(parents=True)
    lock.touch()  # as a kill leaves it
    code, asks = judge(clone)
    assert code == 0
    assert asks == [
        each
        for aspect in ("correspondence", "authenticity", "quality")  # the last stays in params.yaml
        for each in (f"dvc exp run -S aspect={aspect}", "python -m m3agiqa bundle --dataset my-set --out bundle")
    ]
    assert not lock.exists()


def test_a_judge_of_some_aspects_goes_where_it_is_wanted(clone):
    code, asks = judge(clone, "ASPECTS=quality", "BUNDLE=other")
    assert code == 0
    assert asks == ["dvc exp run -S aspect=quality", "python -m m3agiqa bundle --dataset my-set --out other"]


def test_an_aspect_that_cannot_be_trained_ends_it(clone):
    code, asks = judge(clone, dvc=FAKE + 'case "$*" in *authenticity) exit 1 ;; esac\n')
    assert code != 0
    assert len(asks) == 3
    assert asks[-1] == "dvc exp run -S aspect=authenticity"


@pytest.mark.parametrize("lacking", ["GIT_AUTHOR_NAME", "GIT_COMMITTER_EMAIL"])
def test_dvc_can_commit_before_hours_have_passed(clone, monkeypatch, lacking):
    """What the first aspect changed is set aside, as a commit, when the second begins."""
    for config in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(config, "/dev/null")
    monkeypatch.delenv("EMAIL", raising=False)
    assert judge(clone)[0] == 0
    monkeypatch.delenv(lacking)
    (clone.parent / "log").unlink()
    venv(clone, "3.11")
    ran = make(clone, "judge")
    assert ran.returncode != 0
    assert "make: git knows no name for DVC's commits: git config --global user.name and user.email" in ran.stderr
    assert not asked(clone)
