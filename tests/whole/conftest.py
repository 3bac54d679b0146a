import os

import pytest
from filelock import FileLock

from tests.small_project import Project, new_project


@pytest.fixture(scope="session")
def reproduced(programs, tmp_path_factory) -> Project:
    """Read-only for tests: `copy()` it before changing anything. Test processes that run side by side share it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with FileLock(shared / "reproduced.lock"):
        path = shared / "reproduced"
        if not (path / ".git").exists():
            project = new_project(shared / "reproducing", programs)
            project.dvc("repro")
            project.commit("reproduced")
            project.path.rename(path)
    return Project(path, programs)
