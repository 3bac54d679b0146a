"""The profiles of data sets in params.yaml: what can be set at all can be set by `dvc exp run -S`."""

import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from pipeline import settings

PARAMS = Path(__file__).parents[2] / "params.yaml"
PROFILES = settings.load(PARAMS).datasets


@pytest.mark.parametrize("name", PROFILES)
def test_every_setting_of_a_data_set_is_there_to_be_set(tmp_path, name):
    """DVC changes no key that is not in the file: "not in struct"."""
    shutil.copy(PARAMS, tmp_path)
    given = PROFILES[name].model_dump()
    last = "of" if given["reader"] == "joined" else "raters"
    given[last] = ("folder", "avt-ai") if last == "of" else 17
    for key, value in given.items():
        written = f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else value
        apply_overrides(tmp_path / "params.yaml", [f"datasets.{name}.{key}={written}"])
    assert getattr(settings.load(tmp_path / "params.yaml").datasets[name], last) == given[last]
