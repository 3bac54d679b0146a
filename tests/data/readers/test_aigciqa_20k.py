"""AIGCIQA-20k: three parts, and images whose MOS is kept back."""

import pytest

from data.ingest.lookup import Files
from data.ingest.samples import ingest
from data.readers.aigciqa_20k import read
from data.tables.frames import read_table
from m3agiqa.errors import InputError
from m3agiqa.files import read_json
from tests.labelled import write_images

TRAIN = ("DALLE2_0000.png", "SDXL_Turbo_0001.png", "PixArt-alpha_0002.png")
ROWS = {**dict.fromkeys(TRAIN, "3.5"), "DALLE2_0003.png": "", "DALLE2_0004.png": " ", "SDXL_Turbo_0005.png": ""}
PARTS = {"train": TRAIN, "val": ("DALLE2_0003.png",), "test": ("DALLE2_0004.png", "SDXL_Turbo_0005.png")}


@pytest.fixture
def folder(tmp_path):
    """`write(rows, parts)` writes the label files of a small set, with images for those that have a MOS."""
    folder = tmp_path / "source"

    def write(rows=ROWS, parts=PARTS):
        write_images(folder / "images", [name for name, mos in rows.items() if mos.strip()])
        table = "".join(f"{name},a cat,{mos}\n" for name, mos in rows.items())
        (folder / "data.csv").write_text(f"name,prompt,mos\n{table}")
        for part, names in parts.items():
            (folder / f"info_{part}.csv").write_text("\n".join(["name,prompt", *(f"{name},x" for name in names)]))
        return folder

    return write


def test_images_without_a_mos_are_left_out_and_counted(folder, tmp_path):
    samples, about = ingest("aigciqa-20k", [folder()], tmp_path / "out", scale=(0, 5))
    assert sorted(samples["path"]) == sorted(f"images/{name}" for name in TRAIN)
    assert sorted(samples["generator"]) == ["DALLE2", "PixArt-alpha", "SDXL_Turbo"]
    assert about == read_json(tmp_path / "out/about.json")
    assert about == {
        "reader": "aigciqa-20k",
        "scale": [0, 5],
        "rows": 6,
        "images": 3,
        "left_out": {"no MOS (val)": 1, "no MOS (test)": 2},
        "unrated": {},
        "repeated": {"pictures": 2, "prompts": 0},
        "groups": {"count": 1, "largest": 3},
    }


def test_with_every_mos_the_authors_parts_are_kept(folder, tmp_path):
    samples, about = ingest("aigciqa-20k", [folder(dict.fromkeys(ROWS, "2"))], tmp_path / "out", scale=(0, 5))
    split = read_table(tmp_path / "out/published_split.parquet", ["split"])
    assert about["left_out"] == {}
    assert list(split["image_id"]) == list(samples["image_id"])
    assert split["split"].value_counts().to_dict() == {"train": 3, "val": 1, "test": 2}


@pytest.mark.parametrize(
    ("rows", "parts", "expected"),
    [
        (ROWS | {"SDXL_Turbo_0001.png": ""}, PARTS, "row 3: 'SDXL_Turbo_0001.png' has no MOS; only images of val and"),
        (ROWS | {"DALLE2_9.png": "1"}, PARTS, "row 8: 'DALLE2_9.png' is in none of info_train.csv, info_val.csv and"),
        (ROWS, PARTS | {"val": TRAIN[:1]}, "info_val.csv, row 2: 'DALLE2_0000.png' is in info_train.csv too"),
        (
            ROWS | {"cat.png": "1"},
            PARTS | {"train": (*TRAIN, "cat.png")},
            "name 'cat.png', expected a generator",
        ),
        (ROWS, {"train": TRAIN}, "info_val.csv: no such file"),
    ],
)
def test_what_does_not_fit_together_is_refused(folder, rows, parts, expected):
    with pytest.raises(InputError) as error:
        list(read(Files([folder(rows, parts)]), (0, 5)))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_set_without_any_mos_is_refused(folder, tmp_path):
    rows = dict.fromkeys(PARTS["val"], "")
    source = folder(rows, {"train": TRAIN, "val": tuple(rows), "test": ("a_1.png",)})
    with pytest.raises(InputError, match="no image with a MOS"):
        ingest("aigciqa-20k", [source], tmp_path / "out", scale=(0, 5))
