"""The LIVE In the Wild Challenge database as its authors hand it out, and its prepared part where that is at hand."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.ingest.lookup import Files
from data.ingest.samples import ingest
from data.readers.clive import read
from data.splitting.protocols import split
from data.splitting.settings import Split
from m3agiqa.errors import InputError
from tests.labelled import read_real, to_split, write_noise

REAL = Path(__file__).parents[4] / "shared/data/clive-dev"
SHOWN_FIRST = [f"t{number}.bmp" for number in range(1, 8)]
NAMES = [*SHOWN_FIRST, "3.bmp", "1024.bmp", "7.JPG"]
MOS = np.linspace(3.42, 92.4, len(NAMES))
STD = np.linspace(6.7, 27.1, len(NAMES))


def cells(names):
    """A cell array, as MATLAB writes one: (n, 1)."""
    array = np.empty((len(names), 1), dtype=object)
    array[:, 0] = names
    return array


@pytest.fixture
def release(tmp_path):
    """Write ChallengeDB_release with some of its variables changed; return it."""
    folder = tmp_path / "source/ChallengeDB_release"
    write_noise(folder / "Images/trainingImages", SHOWN_FIRST)
    write_noise(folder / "Images", NAMES[7:], seed=1)
    (folder / "Data").mkdir()

    def write(**changes):
        variables = {"AllImages_release": cells(NAMES), "AllMOS_release": MOS, "AllStdDev_release": STD} | changes
        for name, values in variables.items():
            scipy.io.savemat(folder / f"Data/{name}.mat", {name: values})
        return folder

    return write


def test_the_release_is_read_and_what_raters_were_shown_first_is_left_out(release, tmp_path):
    samples, about = ingest("clive", [release()], tmp_path / "out", scale=(0, 100))
    assert about["left_out"] == {"shown to the raters before they began": 7}
    assert dict(zip(samples["image_id"], samples["path"], strict=True)) == {
        "1024": "images/1024.bmp",
        "3": "images/3.bmp",
        "7": "images/7.JPG",
    }
    assert list(samples["mos_quality"]) == pytest.approx([MOS[8] / 20, MOS[7] / 20, MOS[9] / 20])
    assert list(samples["std_quality"]) == pytest.approx([STD[8] / 20, STD[7] / 20, STD[9] / 20])
    assert "mos_authenticity" not in samples
    assert set(samples["prompt"]) == set(samples["generator"]) == {""}


def test_the_images_shown_first_need_not_be_there(release, tmp_path):
    folder = release()
    for name in SHOWN_FIRST:
        (folder / "Images/trainingImages" / name).unlink()
    assert len(ingest("clive", [folder], tmp_path / "out", scale=(0, 100)).samples) == 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"AllMOS_release": MOS[1:]}, r"AllMOS_release\.mat: AllMOS_release is float64 \(1, 9\), expected 10 numbers"),
        ({"AllStdDev_release": "text"}, r"AllStdDev_release\.mat: AllStdDev_release is .*, expected 10 numbers"),
        ({"AllImages_release": MOS}, r"AllImages_release\.mat: AllImages_release is .*, expected a list of texts"),
        ({"AllImages_release": cells([*NAMES[1:], ""])}, r"AllImages_release\.mat: .* expected a list of texts"),
        ({"AllImages_release": cells([*NAMES[1:], "3.bmp"])}, r"AllImages_release\.mat: '3\.bmp' is listed twice"),
        ({"AllImages_release": cells([*NAMES[1:], "8.bmp"])}, r"image 10: .*Images/8\.bmp does not exist"),
        ({"AllMOS_release": MOS + 10}, r"image 10: mos_quality is 102\.4, expected a number from 0 to 100"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_line(release, tmp_path, changes, expected):
    with pytest.raises(InputError, match=expected) as error:
        ingest("clive", [release(**changes)], tmp_path / "out", scale=(0, 100))
    assert "\n" not in str(error.value)


def test_a_list_of_names_may_be_a_character_array(release):
    rows = list(read(Files([release(AllImages_release=np.array(NAMES))]), (0, 100)))
    assert [row.name for row in rows] == NAMES  # MATLAB fills them up with spaces


def test_a_folder_of_your_own_is_read_as_such(release, tmp_path):
    folder = release()
    (folder / "data.csv").write_text("name,prompt,mos_quality\n3.bmp,,50\n")
    (folder / "Images").rename(folder / "images")
    samples, _ = ingest("clive", [folder], tmp_path / "out", scale=(0, 100))
    assert list(samples["mos_quality"]) == [2.5]


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 0.999), value=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_any_damage_to_the_names_is_told_in_one_line(release, at, value, cut):
    path = release() / "Data/AllImages_release.mat"
    content = path.read_bytes()
    where = int(at * len(content))
    path.write_bytes(content[:where] + value + (b"" if cut else content[where + len(value) :]))
    try:
        rows = list(read(Files([path.parents[1]]), (0, 100)))
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert len(rows) == len({row.name for row in rows}) == len(NAMES)


@pytest.mark.parametrize("reader", ["clive", "folder"])
def test_five_folds_of_the_prepared_part_test_200_images_each(reader):
    rows = read_real(reader, REAL)
    samples = to_split(rows)
    tested: list[str] = []
    for fold in range(1, 6):
        parts = split(samples, "clive", Split(protocol="k-fold", seed=0, val=0.12, test=0.25, folds=5, fold=fold))
        tested += parts.loc[parts["split"] == "test", "image_id"].tolist()
        assert parts["split"].value_counts().to_dict() == {"train": 680, "test": 200, "val": 120}
    assert sorted(tested) == sorted(samples["image_id"])
