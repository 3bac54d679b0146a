"""For the tests of distillation: a tiny model, and its undisturbed run, which others are compared with."""

import pytest

from tests import tiny_mllm
from tests.distilled import run


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_mllm.smolvlm(tmp_path_factory.mktemp("models") / "smolvlm")


@pytest.fixture(scope="session")
def whole(model, tmp_path_factory):
    """An undisturbed run: its folder and its curve."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(model, folder)
