"""How long a stage will take is said at its beginning, and measured: nothing of it is a constant."""

import re
import time

import pytest
from transformers import logging

from pipeline import foretell
from pipeline.foretell import takes, telling, tried
from stages import describe, distill, features
from tests import tiny_mllm
from tests.few_images import project

logging.disable_progress_bar()

PROFILE = {"revision": None, "dtype": "float32", "max_length": 300, "max_new_tokens": 8, "fewer_views": []}
LORA = {"r": 4, "alpha": 8, "dropout": 0.0, "targets": r".*text_model.*_proj", "modules_to_save": []}
IMAGES = 66  # two parts of a feature store
TIME = r"[\d.e-]+ s each: less than two minutes"


@pytest.mark.parametrize(
    ("device", "images", "batch", "warm", "sizes"),
    [
        ("cpu", 1000, 32, 1e9, [2, 8]),
        ("cpu", 1000, 5, 1e9, [2, 5]),
        ("cpu", 89, 32, 1e9, [1, 1]),  # few images are not worth trying many
        ("cpu", 1000, 32, -1, [2]),  # as if two images had taken long
        ("cuda", 1600, 32, -1, [32, 32]),  # the first may have been compiling
    ],
)
def test_few_images_warm_up_and_tell_where_they_take_long(monkeypatch, device, images, batch, warm, sizes):
    monkeypatch.setattr(foretell, "WARM", warm)
    asked = []
    found = tried(lambda images: time.sleep(0.01 * images) or asked.append(images) or "made", images, batch, device)
    assert asked == sizes
    assert (found.images, found.found) == (sizes[-1], "made")
    assert found.seconds >= 0.01  # an image


@pytest.mark.parametrize(("device", "images"), [("cpu", 49), ("cuda", 1599)])
def test_nothing_is_tried_where_little_is_left(device, images):
    assert tried(lambda size: pytest.fail(f"{size} were tried"), images, 32, device) is None


@pytest.mark.parametrize("cold", [0, 1])
def test_the_first_that_is_warm_tells(cold):
    said, taken = [], []
    for number in telling(iter(range(4)), cold, said.append):
        taken.append(number)
        time.sleep(0.02 if number == cold else 0)
        assert len(said) == (number > cold)
    assert taken == [0, 1, 2, 3]
    assert said[0] >= 0.02


@pytest.mark.parametrize(
    ("number", "seconds", "said"),
    [
        (1000, 0.01234, "0.012 s each: less than two minutes"),
        (1000, 0.51, "0.51 s each: about 8 minutes"),
        (2982, 12.6, "13 s each: about 10.4 hours"),
    ],
)
def test_times_are_round(number, seconds, said):
    assert takes(number, seconds) == said


def test_each_stage_says_it_once_and_measures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder = tiny_mllm.idefics3(tmp_path / "model")
    chosen = project(PROFILE | {"model": str(folder), "lora": LORA}, IMAGES)
    runtime = chosen.runtime.model_copy(update={"batch": 16, "device": "cpu"})
    chosen = chosen.model_copy(update={"runtime": runtime})
    said = {}
    for stage in (distill, describe, features):
        stage.main(chosen)
        name = stage.__name__.removeprefix("stages.")
        lines = capsys.readouterr().err.splitlines()
        (said[name],) = [line for line in lines if line.startswith(f"{name}: ") and " on cpu, " in line]
    assert re.fullmatch(rf"distill: 2 steps on cpu, {TIME}, and the val images after each epoch", said["distill"])
    assert re.fullmatch(rf"describe: {IMAGES} images on cpu, {TIME}; then features, {TIME}", said["describe"])
    assert re.fullmatch(rf"features: {IMAGES} images on cpu, {TIME}", said["features"])

    monkeypatch.setattr(distill, "LONG", 0)  # seconds: as if it took long
    distill.main(chosen.model_copy(update={"distill": chosen.distill.model_copy(update={"seed": 1})}))
    assert "on a GPU it is quicker, distill.enabled=false leaves it out" in capsys.readouterr().err
    describe.main(chosen)  # another student
    capsys.readouterr()
    describe.main(chosen)  # nothing is left to do
    assert " on cpu, " not in capsys.readouterr().err
