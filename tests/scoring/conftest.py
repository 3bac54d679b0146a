import pytest
from transformers import logging

from tests import tiny_mllm
from tests.trained import trained

logging.disable_progress_bar()


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_mllm.smolvlm(tmp_path_factory.mktemp("models") / "smolvlm")


@pytest.fixture(scope="session")
def parts(model, tmp_path_factory):
    """Read-only."""
    return trained(model, tmp_path_factory.mktemp("trained"), ("quality", "correspondence"))
