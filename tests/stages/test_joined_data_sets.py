"""A joined data set through the stages source, download and split."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from data.tables.frames import joined, read_samples, read_table
from m3agiqa.errors import InputError
from m3agiqa.files import read_json
from pipeline import paths
from pipeline.settings import load
from stages import cross, download, evaluate, source, split
from tests.evaluated import build

SETS = {"clive": ("quality", 100), "raise": ("authenticity", 100), "avt-ai": ("quality", 5)}
IMAGES = 40


@pytest.fixture
def project(folder_params):
    """Params of the joined data set `real`, whose members have forty images each; `write(**params)` gives settings."""
    dice = np.random.default_rng(0)
    for name, (aspect, top) in SETS.items():
        folder = Path("mine") / name
        (folder / "images").mkdir(parents=True)
        rows = [f"name,prompt,mos_{aspect}{',published_split' * (name == 'raise')}"]
        for number in range(IMAGES):
            file = f"r{number}.png"
            Image.fromarray(dice.integers(0, 256, (24, 24, 3), np.uint8)).save(folder / "images" / file)
            prompt = f"ball {number // 2}" * (name == "avt-ai")
            part = ("test" if number % 4 == 0 else "train",) * (name == "raise")
            rows.append(",".join((file, prompt, str(1 + number % (top - 1)), *part)))
        (folder / "data.csv").write_text("\n".join(rows) + "\n")
        folder_params["datasets"][name]["source"] = str(folder)

    def write(**changes):
        folder_params["split"] |= changes.pop("split", {})
        YAML().dump(folder_params | {"dataset": "real"} | changes, Path("params.yaml"))
        return load()

    return write


def test_the_members_files_are_watched(project):
    settings = project()
    source.main(settings)
    seen = read_json(Path("data/sources/dataset.json"))
    assert [local["source"] for local in seen["local"]] == ["mine/clive", "mine/raise", "mine/avt-ai"]
    assert [(name, one["scale"]) for name, one in seen["members"].items()] == [
        ("clive", [0, 100]), ("raise", [0, 100]), ("avt-ai", [1, 5])
    ]  # fmt: skip
    os.utime("mine/raise/images/r3.png", ns=(1, 1))
    source.main(settings)
    assert read_json(Path("data/sources/dataset.json")) != seen
    shutil.rmtree("mine/avt-ai")
    with pytest.raises(InputError, match=r"mine/avt-ai: no such folder or file"):
        source.main(settings)


def test_every_fold_has_its_share_of_every_set_and_each_aspect_its_images(project, capsys):
    settings = project(split={"protocol": "k-fold", "folds": 4})
    for _ in range(2):  # what was there before is made anew
        capsys.readouterr()
        download.main(settings)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines if line.startswith("download:")] == [
        "download: 40 images have no MOS of quality", "download: 80 images have no MOS of authenticity"
    ]  # fmt: skip
    raw = paths.raw("real")
    assert sorted(path.name for path in raw.iterdir()) == [
        "about.json", "images", "published_split.parquet", "samples.parquet", "sets.parquet"
    ]  # fmt: skip
    split.main(settings)
    parts = read_table(paths.splits("real"))
    generators = read_table(raw / "samples.parquet", ["generator"])["generator"]
    assert generators.str.partition("/")[0].value_counts().to_dict() == dict.fromkeys(SETS, IMAGES)
    assert generators[parts["split"] == "test"].value_counts().to_dict() == {
        "clive": 10, "raise/photograph": 10, "avt-ai": 10
    }  # fmt: skip
    for aspect, count in {"quality": 80, "authenticity": 40}.items():
        samples = joined(read_samples(paths.samples("real"), aspect, []), parts, aspect)
        assert len(samples) == count


def test_published_tests_what_its_authors_tested_and_nothing_else(project, capsys):
    settings = project(split={"protocol": "published"})
    download.main(settings)
    capsys.readouterr()
    split.main(settings)
    assert capsys.readouterr().err.splitlines() == [
        f"split: {name} has no published split: all its images are for training" for name in ("clive", "avt-ai")
    ]
    parts = read_table(paths.splits("real")).set_index("image_id")["split"]
    assert set(parts.index[parts == "test"]) == {f"raise_r{number}" for number in range(0, IMAGES, 4)}
    assert (parts == "val").sum() == pytest.approx(0.12 * 3 * IMAGES, abs=1)


@pytest.mark.parametrize(
    ("one", "chosen"),
    [("clive", {"protocol": "k-fold", "folds": 4, "fold": 2}), ("avt-ai", {"protocol": "prompt-disjoint", "val": 0.2}),
     ("raise", {"protocol": "published"}), ("raise", {"protocol": "random"})],
)  # fmt: skip
def test_one_of_them_is_split_as_it_is_alone_and_the_others_are_for_training(project, one, chosen, capsys):
    alone = project(dataset=one, split=chosen)
    download.main(alone)
    split.main(alone)
    capsys.readouterr()
    together = project(split=chosen | {"on": one})
    download.main(together)
    split.main(together)
    assert "published split" not in capsys.readouterr().err
    parts = read_table(paths.splits("real")).set_index("image_id")["split"]
    of_one = read_table(paths.splits(one)).set_index("image_id")["split"]
    assert parts[[f"{one}_{image_id}" for image_id in of_one.index]].tolist() == of_one.tolist()
    assert set(parts[~parts.index.str.startswith(f"{one}_")]) == {"train"}
    assert len(parts) == 3 * IMAGES


def test_prompts_that_two_sets_share_are_told(project):
    table = Path("mine/clive/data.csv")
    table.write_text(table.read_text().replace("r0.png,,", "r0.png,BALL 7.,"))
    chosen = {"protocol": "k-fold", "folds": 4, "val": 0.2, "on": "avt-ai"}
    download.main(project(split=chosen))
    refused = []
    for fold in range(1, 5):
        try:
            split.main(project(split=chosen | {"fold": fold}))
        except InputError as error:
            refused.append(str(error))
    assert 1 <= len(refused) < 4  # where ball 7 is in test or val
    said = "1 images of other data sets have prompts of avt-ai's val and test images, such as 'clive_r0'"
    assert all(said in line for line in refused)
    split.main(project(split=chosen | {"protocol": "random"}))


def test_the_figures_name_the_one_that_is_tested(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = build()
    evaluate.main(made.model_copy(update={"split": made.split.model_copy(update={"on": "clive"})}))
    figures = read_json(paths.EVALUATION)
    assert (figures["dataset"], figures["on"], figures["cross"]) == (made.dataset, "clive", False)


def test_none_with_a_published_split_is_refused(project, folder_params):
    folder_params["datasets"]["real"]["of"] = ["clive", "avt-ai"]
    settings = project(split={"protocol": "published"})
    download.main(settings)
    with pytest.raises(InputError, match="no published test lists for data set 'real'"):
        split.main(settings)


def test_what_is_rendered_can_be_joined(project, folder_params):
    folder_params["datasets"]["synthetic"] |= {"prompts": 1, "size": 64, "raters": 2}
    folder_params["datasets"]["real"]["of"] = ["synthetic", "clive"]
    settings = project()
    download.main(settings)
    samples = read_table(paths.samples("real"))
    assert len(samples) == 6 + IMAGES
    assert samples["mos_correspondence"].notna().sum() == 6


def test_a_joined_data_set_is_tested_on_like_another(project, folder_params):
    """The test images of each of its members, and no others."""
    settings = project(dataset="synthetic", evaluate=folder_params["evaluate"] | {"on": "real"})
    source.main(settings)
    other = read_json(Path("data/sources/cross.json"))
    assert list(other["members"]) == list(SETS)
    place = paths.of_cross("synthetic", "quality")
    download.bring("real", settings.datasets["real"], place.raw, settings.members_of("real"))
    cross._keep_test(settings, "real")
    kept = read_table(place.samples, ["generator"])["generator"]
    assert kept.value_counts().to_dict() == {"clive": 10, "avt-ai": 10}
    assert len(list((place.raw / "images").iterdir())) == 20
