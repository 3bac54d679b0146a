"""The profiles of data sets in params.yaml: what can be set at all can be set by `dvc exp run -S`."""

import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from data.readers import READERS
from pipeline import settings
from pipeline.data_sets import STANDARDISED

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


def test_whose_spread_is_that_of_the_scores_that_were_averaged():
    """AGIQA-3K's MOS have mean 2.5 and deviation 1, AIGCIQA2023's are z-scores: of neither does the spread tell."""
    averaged = {name for name, profile in PROFILES.items() if profile.averaged}
    assert averaged == {"synthetic", "folder", "aigciqa-20k", "avt-ai", "raise", "clive"}
    assert set(READERS) >= STANDARDISED
