"""Another aspect is an experiment: nothing is paid for it, its figures fit a terminal, and the way back is free."""

from tests.small_project import STAGES, ran


def test_switching_the_aspect_pays_no_teacher_and_switching_back_runs_nothing(reproduced, tmp_path):
    project = reproduced.copy(tmp_path / "project")
    assert ran(project.dvc("exp", "run", "--name", "other", "-S", "aspect=correspondence")) == list(STAGES[4:])
    assert project.metrics()["aspect"] == "correspondence"

    for command in (
        ("exp", "show", "--no-pager", "--only-changed", "--drop", "Created|.*/"),  # as the README has it
        ("metrics", "show"),
        ("metrics", "diff", "HEAD", "other"),
    ):
        shown = project.dvc(*command).stdout
        assert "srcc" in shown
        assert "correspondence" in shown
        assert max(len(line.rstrip()) for line in shown.splitlines()) <= 160

    assert not ran(project.dvc("exp", "run", "-S", "aspect=quality"))
    assert project.metrics() == reproduced.metrics()
