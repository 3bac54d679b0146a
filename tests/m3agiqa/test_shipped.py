"""The judge that ships, in miniature: it is what scores where no other is named, and its model is not copied."""

import argparse
import re
import shutil
from pathlib import Path

import pytest

from m3agiqa import bundle, shipped
from m3agiqa.commands import predict
from m3agiqa.errors import InputError
from m3agiqa.model_card import render
from m3agiqa.scorer import Scorer
from tests import tiny_mllm
from tests.tiny_mllm import picture
from tests.trained import trained

ASK = [picture(30), picture(31)], ["a red cube", "a sphere"]


@pytest.fixture
def models(small_judge, tmp_path, monkeypatch):
    """A models/ of the test's own, in the place of those that ship."""
    models = Path(shutil.copytree(small_judge, tmp_path / "models"))
    monkeypatch.setattr(shipped, "PLACES", (tmp_path / "nowhere", models))
    return models


def run(*given: str) -> None:
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    predict.run(parser.parse_args([*given, "--device", "cpu"]))


def test_it_scores_where_no_other_is_named(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    picture(1).save("a.png")
    run("a.png")
    assert re.search(r"^  quality +-?\d\.\d\d", capsys.readouterr().out, re.MULTILINE)
    assert Scorer.load(device="cpu")(*ASK, aspect="quality") == Scorer.load(models / "judge", device="cpu")(
        *ASK, aspect="quality"
    )


@pytest.mark.parametrize(
    ("aspect", "why"),
    [
        (
            "correspondence",
            "needs a model that reads images and text together; the project's docs/models.md says how to get one",
        ),
        ("authenticity", "non-commercially only"),
    ],
)
def test_an_aspect_that_it_lacks_is_one_line(models, aspect, why):
    with pytest.raises(InputError, match=f"no {aspect} in the judge that ships with m3agiqa .*{why}") as error:
        run("a.png", "--aspect", aspect)
    assert "\n" not in str(error.value)


def test_its_model_is_not_in_the_bundle_and_found_by_its_name(models):
    assert not (models / "judge/mllm").exists()
    assert bundle.open_bundle(models / "judge")["quality"].mllm == models / "small"


def test_another_model_of_that_name_is_refused(models):
    path = models / "small/config.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(InputError, match=r"not the adapter or the MLLM .* that the head was trained on"):
        Scorer.load(device="cpu")(*ASK, aspect="quality")


def test_where_the_model_or_the_judge_is_missing_is_one_line(models):
    shutil.rmtree(models / "small")
    with pytest.raises(InputError, match="judge: its model small is neither in it nor among those that ship with this"):
        Scorer.load(device="cpu")
    shutil.rmtree(models / "judge")
    with pytest.raises(InputError, match=r"the judge that ships .* is not here; name a --bundle or a --dataset"):
        Scorer.load(device="cpu")


def test_another_model_of_its_name_is_packed_and_a_bundle_with_a_copy_opens(models, tmp_path):
    own = trained(tiny_mllm.smolvlm(tmp_path / "own/small", tiny_mllm.CHATML_TEMPLATE), tmp_path)
    bundle.pack(own, tmp_path / "bundle", render(bundle.cards(own)))
    assert (tmp_path / "bundle/mllm/small/model.safetensors").exists()
    shutil.rmtree(tmp_path / "own")
    assert Scorer.load(tmp_path / "bundle", device="cpu")(*ASK, aspect="quality")[0].status == "ok"
