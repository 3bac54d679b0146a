"""For the tests of every architecture: a tiny model of each."""

import pytest

from tests import tiny_minicpm, tiny_mllm
from tests.tiny_mllm import load


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    return {
        "smolvlm": tiny_mllm.smolvlm(tmp_path_factory.mktemp("models") / "smolvlm"),
        "llava": tiny_mllm.llava(tmp_path_factory.mktemp("models") / "llava"),
        "qwen3_vl": tiny_mllm.qwen3_vl(tmp_path_factory.mktemp("models") / "qwen3_vl"),
        "minicpm_v_4_6": tiny_mllm.minicpm_v_4_6(tmp_path_factory.mktemp("models") / "minicpm_v_4_6"),
        "minicpm": tiny_minicpm.minicpm(tmp_path_factory.mktemp("models") / "minicpm"),
    }


@pytest.fixture(scope="module", params=["smolvlm", "llava", "qwen3_vl", "minicpm", "minicpm_v_4_6"])
def mllm(request, folders):
    return load(folders[request.param])


@pytest.fixture
def smolvlm(folders):
    return load(folders["smolvlm"])
