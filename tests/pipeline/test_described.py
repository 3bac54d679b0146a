"""`describe.aspects`: what it takes, and what it means."""

from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from m3agiqa.errors import InputError
from pipeline import settings

PARAMS = Path(__file__).parents[2] / "params.yaml"


def load(aspects, **changes):
    values = YAML(typ="safe").load(PARAMS) | changes
    return settings.checked(values | {"describe": {"aspects": aspects}}, PARAMS)


def test_the_checked_in_params_describe_what_is_rated():
    assert settings.load(PARAMS).describe.aspects is None
    assert load(None, aspect="authenticity").described == ("authenticity",)


def test_the_order_is_kept_and_each_has_its_tokens():
    chosen = load(["correspondence", "quality"])
    assert chosen.described == ("correspondence", "quality")
    assert chosen.max_new_tokens == 2 * load(None).max_new_tokens


@pytest.mark.parametrize(
    ("aspects", "message"),
    [
        (["quality", "beauty"], r"describe\.aspects\.1: .*'quality', 'correspondence' or 'authenticity'.*'beauty'"),
        (["quality", "authenticity", "quality"], r"describe\.aspects: aspects names 'quality' twice"),
        ([], r"describe\.aspects: .*at least 1 item.*given: \[\]"),
        ("quality", r"describe\.aspects: .*valid list.*given: 'quality'"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(aspects, message):
    with pytest.raises(InputError, match=message) as error:
        load(aspects)
    assert "\n" not in str(error.value)


def test_dvc_can_set_it(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text(encoding="utf-8"), encoding="utf-8")
    apply_overrides(path, ["describe.aspects=[quality,correspondence]"])
    assert settings.load(path).described == ("quality", "correspondence")
    apply_overrides(path, ["describe.aspects=null"])
    assert settings.load(path).describe.aspects is None
