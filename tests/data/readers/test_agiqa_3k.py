"""The real label file of AGIQA-3K, where it lies beside the repository, and small ones of its format."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.ingest.lookup import Files
from data.ingest.samples import ingest
from data.readers.agiqa_3k import GENERATORS, read
from finetune.distill import examples
from m3agiqa.errors import InputError
from m3agiqa.mllm.conversation import word_of
from tests.labelled import write_images

REAL = Path(__file__).resolve().parents[4] / "shared/data/agiqa-3k"
HEADER = "name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align"
ROWS = (
    'sd1.5_lowstep_081.jpg,"a cat, close-up",close-up,,,1.5,0.2,4.5,0.6',
    "DALLE2_normal_000.jpg,a dog,,,,4.25,,0.5,0.1",
)
real = pytest.mark.skipif(not REAL.is_dir(), reason="the label file of AGIQA-3K is not beside this repository")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """The real labels with stand-ins for the images, through the whole of ingest."""
    folder = tmp_path_factory.mktemp("agiqa-3k")
    (folder / "data.csv").write_bytes((REAL / "data.csv").read_bytes())
    write_images(folder / "AGIQA-3K/image", pd.read_csv(REAL / "data.csv")["name"])
    return ingest("agiqa-3k", [folder], folder.parent / f"{folder.name}-out", scale=(0, 5))[0]


@real
def test_the_real_file_has_2982_images_of_six_generators_in_ten_settings(samples):
    assert len(samples) == 2982
    assert samples["prompt"].nunique() == 300
    assert samples["generator"].value_counts().to_dict() == {
        "AttnGAN_normal": 300, "DALLE2_normal": 290, "glide_normal": 300, "xl2.2_normal": 300,
        "midjourney_lowstep": 296, "midjourney_normal": 296, "sd1.5_highcorr": 300, "sd1.5_lowcorr": 300,
        "sd1.5_lowstep": 300, "sd1.5_normal": 300,
    }  # fmt: skip
    assert sorted(samples.columns[-4:]) == ["mos_correspondence", "mos_quality", "std_correspondence", "std_quality"]
    assert (samples["image_id"] + ".jpg" == samples["path"].str.removeprefix("images/")).all()


@real
def test_the_real_labels_come_through_unchanged(samples):
    labels = pd.read_csv(REAL / "data.csv")
    labels.index = labels["name"].str.removesuffix(".jpg")
    labels = labels.loc[samples["image_id"]]
    for aspect, column in (("quality", "quality"), ("correspondence", "align")):
        for kind in ("mos", "std"):
            np.testing.assert_array_equal(samples[f"{kind}_{aspect}"], labels[f"{kind}_{column}"])


@real
@pytest.mark.parametrize(("aspect", "measured"), [("quality", 0.738), ("correspondence", 0.647)])
def test_the_generator_mean_gives_what_was_measured_on_the_published_splits(samples, aspect, measured):
    published = pd.read_csv(REAL / "published_split.csv")
    published.index = published["name"].str.removesuffix(".jpg")
    test = samples["image_id"].map(published[f"test_{aspect}"]).astype(bool)
    means = samples[~test].groupby("generator")[f"mos_{aspect}"].mean()
    predicted = samples.loc[test, "generator"].map(means)
    assert test.sum() == 597
    assert predicted.corr(samples.loc[test, f"mos_{aspect}"], method="spearman") == pytest.approx(measured, abs=0.0005)


@real
def test_correspondence_is_taught_with_the_word_of_the_correspondence_mos(samples, monkeypatch):
    """In the published training data it is the word of the quality in all rows."""
    monkeypatch.setattr(examples, "load_image", lambda _: None)
    captioned = samples.assign(correspondence="Some of it is there.")
    teaching = examples.Examples(Path(), "correspondence", captioned)
    taught = [teaching[row].conversation[-1]["content"][0]["text"] for row in range(len(teaching))]
    assert taught == list(samples["mos_correspondence"].map(word_of))
    assert np.mean(taught != samples["mos_quality"].map(word_of)) > 0.3


def test_columns_generator_and_std(tmp_path):
    (tmp_path / "data.csv").write_text("\n".join([HEADER, *ROWS]))
    first, second = read(Files([tmp_path]), (0, 5))
    assert (first.generator, second.generator) == ("sd1.5_lowstep", "DALLE2_normal")
    assert first.prompt == "a cat, close-up"
    assert first.mos == {"quality": "1.5", "correspondence": "4.5"}
    assert first.std == {"quality": "0.2", "correspondence": "0.6"}
    assert second.std["quality"] == ""


numbers = st.floats(0, 5).map(repr)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(GENERATORS),
            st.sampled_from(["normal", "lowstep", "highcorr"]),
            st.text(st.characters(codec="utf-8"), max_size=20),
            st.tuples(numbers, numbers, numbers, numbers),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_row_of_the_format_comes_through(tmp_path, rows):
    with (tmp_path / "data.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(HEADER.split(","))
        for n, (generator, setting, prompt, labels) in enumerate(rows):
            table.writerow([f"{generator}_{setting}_{n:03d}.jpg", prompt, "", "", "", *labels])
    for (generator, setting, prompt, labels), rated in zip(rows, read(Files([tmp_path]), (0, 5)), strict=True):
        assert (rated.generator, rated.prompt) == (f"{generator}_{setting}", prompt)
        assert rated.file == rated.name
        found = [kind[aspect] for aspect in ("quality", "correspondence") for kind in (rated.mos, rated.std)]
        assert tuple(found) == labels


@pytest.mark.parametrize(
    "name", ["sdxl_normal_001.jpg", "glide_001.jpg", "glide_normal_1.png", "001.jpg", "SD1.5_normal_1.jpg"]
)
def test_an_unknown_generator_is_refused(tmp_path, name):
    (tmp_path / "data.csv").write_text("\n".join([HEADER, ROWS[0], f"{name},a cat,,,,1,1,1,1"]))
    with pytest.raises(InputError, match=r"data\.csv, row 3: name .*_<number>\.jpg .*AttnGAN, DALLE2, glide") as error:
        list(read(Files([tmp_path]), (0, 5)))
    assert "\n" not in str(error.value)


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "data.csv").write_text("name,prompt,mos_quality,std_quality\nglide_normal_1.jpg,x,1,1\n")
    with pytest.raises(InputError, match=r"row 1: missing column 'mos_align'; it has 'name'"):
        list(read(Files([tmp_path]), (0, 5)))
