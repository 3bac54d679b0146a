"""RAISE as its authors' repository has it, and as prepared where that is at hand."""

from pathlib import Path

import pandas as pd
import pytest

from data.ingest.samples import ingest
from data.readers import READERS
from data.splitting.protocols import split
from data.splitting.settings import Split
from data.tables.frames import read_table
from m3agiqa.errors import InputError
from tests.labelled import read_real, to_split, write_noise

REAL = Path(__file__).parents[4] / "shared/data/raise"
RATINGS = {
    "train": "f329.png,66.35,0.13\nr65.png,72.5,0.49\nf1.png,47.06,-0.98\n",
    "test": "f244.png,75.84,0.68\nr3.png,85.24,1.22\n",
}


@pytest.fixture
def repository(tmp_path):
    """Write the repository, with other rows or another name of the first column; return it."""

    def write(column="filename", **changes):
        folder = tmp_path / "source/RAISE"
        for seed, (part, rows) in enumerate((RATINGS | changes).items()):
            names = [line.split(",")[0] for line in RATINGS[part].splitlines()]
            write_noise(folder / f"dataset/images/{part}_images", names, seed)
            table = folder / f"dataset/ratings/{part}.csv"
            table.parent.mkdir(exist_ok=True)
            table.write_text(f"{column},MOS_Rating,MOS_ZScore\n{rows}")
        write_noise(folder / "figures", ["f1.png"], seed=7)  # least deep, and not the one that was rated
        return folder

    return write


def test_its_name_is_no_word_of_python_here():
    assert "raise" in READERS


@pytest.mark.parametrize("column", ["filename", "Image"])
def test_two_tables_are_one_set_and_its_split(repository, tmp_path, column):
    samples, about = ingest("raise", [repository(column)], tmp_path / "out", scale=(0, 100))
    assert about["images"] == 5
    assert list(samples["image_id"]) == ["f1", "f244", "f329", "r3", "r65"]
    assert list(samples["mos_authenticity"]) == pytest.approx([2.353, 3.792, 3.3175, 4.262, 3.625])
    assert list(samples["generator"]) == ["generated"] * 3 + ["photograph"] * 2
    assert "mos_quality" not in samples
    own = read_table(tmp_path / "out/published_split.parquet").set_index("image_id")["split"]
    assert own.to_dict() == {"f1": "train", "f244": "test", "f329": "train", "r3": "test", "r65": "train"}
    rated = repository() / "dataset/images/train_images/f1.png"
    assert (tmp_path / "out/images/f1.png").read_bytes() == rated.read_bytes()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"test": RATINGS["test"] + "f1.png,1,1\n"}, r"test\.csv, row 4: 'f1\.png' is in train\.csv too"),
        ({"train": RATINGS["train"] + "cat.png,1,1\n"}, r"row 5: name 'cat\.png', expected r1\.png to r120\.png"),
        ({"train": RATINGS["train"] + "f9.png,1,1\n"}, r"row 5: .*train_images/f9\.png does not exist"),
        ({"column": "name"}, r"train\.csv, row 1: missing column 'filename'"),
    ],
)
def test_what_does_not_fit_together_is_refused(repository, tmp_path, changes, expected):
    with pytest.raises(InputError, match=expected):
        ingest("raise", [repository(**changes)], tmp_path / "out", scale=(0, 100))


@pytest.mark.parametrize("reader", ["raise", "folder"])
def test_the_published_test_images_are_exactly_the_authors(reader):
    rows = read_real(reader, REAL)
    samples = to_split(rows)
    own = pd.DataFrame([{"image_id": row.name, "split": row.part} for row in rows])
    settings = Split(protocol="published", seed=0, val=0.12, test=0.25, folds=5, fold=1)
    parts = split(samples, "raise", settings, own).set_index("image_id")["split"]
    table = pd.read_csv(REAL / "data.csv")
    assert set(parts.index[parts == "test"]) == set(table.loc[table["published_split"] == "test", "name"])
    assert parts.value_counts().to_dict() == {"train": 438, "test": 90, "val": 72}
