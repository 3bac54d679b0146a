"""What a data set lacks or has twice, through the stages: counted, said, and no reason to stop."""

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from data.tables.frames import joined, read_samples, read_table, write_table
from m3agiqa.errors import InputError
from m3agiqa.files import read_json
from pipeline import paths
from pipeline.settings import load
from stages import caption, cross, download, evaluate, split
from tests.evaluated import build

IMAGES = 60


@pytest.fixture
def project(folder_params):
    """Params for a folder of sixty images with two aspects; `write(rows)` writes its csv."""
    Path("mine/images").mkdir(parents=True)
    for number in range(IMAGES):
        Image.new("RGB", (32, 32), (7, number, 170)).save(f"mine/images/{number:02}.png")

    def write(quality="3", prompt="ball {}", **changes):
        rows = [f"{number:02}.png,{prompt.format(number)},{quality},{number % 5}" for number in range(IMAGES)]
        rows[7] = f"07.png,{prompt.format(7)},,3"
        rows[8] = f"08.png,{prompt.format(8)},3,"
        Path("mine/data.csv").write_text("\n".join(["name,prompt,mos_quality,mos_authenticity", *rows]) + "\n")
        YAML().dump(folder_params | changes, Path("params.yaml"))
        return load()

    return write


def test_an_image_without_a_rating_is_described_and_learnt_from_for_the_other_aspects(project, capsys):
    settings = project()
    download.main(settings)
    said = capsys.readouterr().err
    assert "download: 1 images have no MOS of quality" in said
    assert "download: 1 images have no MOS of authenticity" in said
    assert read_json(paths.raw("folder") / "about.json")["unrated"] == {"quality": 1, "authenticity": 1}
    split.main(settings)
    parts = read_table(paths.splits("folder"))
    write_table(
        parts.assign(split=parts["split"].mask(parts["image_id"].isin(["07", "08"]), "train")), paths.splits("folder")
    )
    caption.main(settings)
    captions = read_table(paths.captions("folder")).set_index("image_id")
    assert captions.loc["07"].isna().to_dict() == {"quality": True, "authenticity": False, "teacher": False}
    assert captions.loc["08"].isna().to_dict() == {"quality": False, "authenticity": True, "teacher": False}
    for aspect, without in {"quality": "07", "authenticity": "08"}.items():
        samples = joined(read_samples(paths.samples("folder"), aspect, []), read_table(paths.splits("folder")), aspect)
        assert set(samples["image_id"]) == {f"{number:02}" for number in range(IMAGES)} - {without}


def test_of_another_data_set_what_was_not_rated_on_the_aspect_is_not_tested(project):
    settings = project().model_copy(update={"aspect": "authenticity"})
    place = paths.of_cross(settings.dataset, "authenticity")
    download.bring("folder", settings.datasets["folder"], place.raw)
    parts = split.split_samples("folder", settings.split, place.raw)
    cross._keep_test(settings, "folder")
    tested = set(parts.loc[parts["split"] == "test", "image_id"]) - {"08"}
    assert set(read_table(place.samples)["image_id"]) == set(read_table(place.splits)["image_id"]) == tested
    assert {path.stem for path in (place.raw / "images").iterdir()} == tested


def test_twins_are_counted_said_and_kept_together(project, capsys):
    settings = project(prompt="")
    for number in range(0, IMAGES, 2):
        Path(f"mine/images/{number:02}.png").write_bytes(Path(f"mine/images/{number + 1:02}.png").read_bytes())
    download.main(settings)
    assert "download: 30 images show the picture of another one" in capsys.readouterr().err
    about = read_json(paths.raw("folder") / "about.json")
    assert about["repeated"] == {"pictures": 30, "prompts": 0}
    assert about["groups"] == {"count": 30, "largest": 2}
    split.main(settings)
    assert not capsys.readouterr().err
    parts = read_table(paths.splits("folder")).set_index("image_id")["split"]
    assert list(parts.iloc[::2]) == list(parts.iloc[1::2])


def test_all_of_one_picture_is_a_split_of_nothing(project):
    settings = project(prompt="")
    for number in range(IMAGES):
        Image.new("RGB", (32, 32)).save(f"mine/images/{number:02}.png")
    download.main(settings)
    with pytest.raises(InputError, match=r"the 60 images make 1 groups that share no prompt and no picture"):
        split.main(settings)


def test_a_list_of_others_says_what_it_shares(project, capsys):
    settings = project()
    settings = settings.model_copy(update={"split": settings.split.model_copy(update={"protocol": "published"})})
    Path("mine/images/00.png").write_bytes(Path("mine/images/59.png").read_bytes())
    download.main(settings)
    ids = read_table(paths.samples("folder"), [])["image_id"]
    own = pd.DataFrame({"image_id": ids, "split": ["test"] * 20 + ["val"] * 20 + ["train"] * 20})
    write_table(own, paths.published_split(paths.raw("folder")))
    capsys.readouterr()
    split.main(settings)
    assert capsys.readouterr().err == "split: 1 of 20 test images (split) show a picture that is in train, too\n"
    pd.testing.assert_frame_equal(read_table(paths.splits("folder")), own)


def test_evaluation_counts_them_too_and_resamples_them_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = build(prompt="", generator="")
    evaluate.main(chosen)
    apart = json.loads(paths.EVALUATION.read_text())
    samples = read_table(paths.samples(chosen.dataset))
    parts = read_table(paths.splits(chosen.dataset))["split"]
    test, train = (samples.index[parts == part] for part in ("test", "train"))
    samples.loc[test[:12], "pixels"] = "black"
    samples.loc[train[0], "pixels"] = "black"
    write_table(samples, paths.samples(chosen.dataset))
    evaluate.main(chosen)
    shared = json.loads(paths.EVALUATION.read_text())
    assert (apart["n_pictures_seen"], shared["n_pictures_seen"]) == (0, 12)
    assert shared["srcc"] == apart["srcc"]
    assert shared["srcc_ci"] != apart["srcc_ci"]
    assert shared["pairs_within_prompt"] is None
