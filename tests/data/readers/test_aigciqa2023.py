"""AIGCIQA2023: the authors' MATLAB files and the tables, on the scale that is declared."""

import re

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.ingest.lookup import Files
from data.ingest.samples import ingest
from data.readers.aigciqa2023 import ASPECTS, read
from m3agiqa.errors import InputError
from tests.labelled import write_images

RNG = np.random.default_rng(0)
MOS = {aspect: RNG.uniform(20, 80, (2400, 1)) for aspect in ASPECTS}
STD = {aspect: RNG.uniform(0.5, 1.8, (2400, 1)) for aspect in ASPECTS}
NUMBERS = (0, 1, 399, 400, 2399)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "AIGCIQA2023"
    folder.mkdir()
    return folder


def write_matlab(folder, *, std=True):
    for kind, name, variable, values in (("MOS", "mosz", "MOSz", MOS), ("STD", "SD", "SD", STD)):
        (folder / "DATA" / kind).mkdir(parents=True)
        for number, aspect in enumerate(ASPECTS, start=1):
            if std or kind == "MOS":
                scipy.io.savemat(folder / "DATA" / kind / f"{name}{number}.mat", {variable: values[aspect]})


def write_table(folder, name="data.csv", columns="mos_{}", factor=1.0, numbers=NUMBERS, spread=None):
    header = ["name", "prompt", *(columns.format(aspect) for aspect in ASPECTS)]
    header += [spread.format(aspect) for aspect in ASPECTS] if spread else []
    rows = []
    for n in numbers:
        values = [MOS[aspect][n, 0] * factor for aspect in ASPECTS]
        values += [STD[aspect][n, 0] for aspect in ASPECTS] if spread else []
        rows.append([f"{n}.png", f"prompt {n % 400 // 4}", *map(repr, map(float, values))])
    (folder / name).write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")


def _set_byte(path, at, value):
    content = bytearray(path.read_bytes())
    content[at] = value
    path.write_bytes(content)


def labels(folder, scale=(0, 100)):
    return list(read(Files([folder]), scale))


def test_matlab_files_give_mos_and_std_and_the_table_the_prompts(folder, tmp_path):
    write_matlab(folder)
    write_table(folder, factor=0.01)  # its MOS do not count
    write_images(folder / "Image/allimg", [f"{n}.png" for n in NUMBERS])
    samples, _ = ingest("aigciqa2023", [folder], tmp_path / "out", scale=(0, 100))
    assert list(samples["image_id"]) == ["0", "1", "2399", "399", "400"]
    assert list(samples["generator"]) == [f"generator-{k}" for k in (1, 1, 6, 1, 2)]
    assert list(samples["prompt"]) == ["prompt 0", "prompt 0", "prompt 99", "prompt 99", "prompt 0"]
    for row in samples.itertuples():
        for aspect in ASPECTS:
            assert getattr(row, f"mos_{aspect}") == pytest.approx(MOS[aspect][int(row.image_id), 0] / 20)
            assert getattr(row, f"std_{aspect}") == pytest.approx(STD[aspect][int(row.image_id), 0])


@pytest.mark.parametrize(
    "table",
    [
        {"name": "data.csv", "columns": "mos_{}"},
        {"name": "AIGCIQA2023.csv", "columns": "{}_mos", "spread": "{}_std"},
        {"name": "data.csv", "columns": "mos_{}", "factor": 0.05},
    ],
    ids=["mirror", "authors", "mirror, 0-5"],
)
def test_tables_say_the_same(folder, tmp_path, table):
    write_table(folder, **table)
    write_images(folder / "images", [f"{n}.png" for n in NUMBERS])
    scale = (0, 5) if "factor" in table else (0, 100)
    samples, _ = ingest("aigciqa2023", [folder], tmp_path / "out", scale=scale)
    for row in samples.itertuples():
        for aspect in ASPECTS:
            n = int(row.image_id)
            assert getattr(row, f"mos_{aspect}") == pytest.approx(MOS[aspect][n, 0] / 20)
            spread = getattr(row, f"std_{aspect}")
            assert spread == pytest.approx(STD[aspect][n, 0]) if "spread" in table else np.isnan(spread)


def test_without_the_spread_files_std_is_not_known(folder):
    write_matlab(folder, std=False)
    write_table(folder)
    assert all(row.std == {} for row in labels(folder))


def test_a_wrong_scale_is_refused_either_way(folder, tmp_path):
    write_table(folder, factor=0.05)
    with pytest.raises(InputError, match=r"is above [\d.]+; is the scale really \[0, 100\]\?"):
        labels(folder, scale=(0, 100))
    write_table(folder)
    write_images(folder, [f"{n}.png" for n in NUMBERS])
    with pytest.raises(InputError, match="expected a number from 0 to 5"):
        ingest("aigciqa2023", [folder], tmp_path / "out", scale=(0, 5))


def test_of_two_sets_of_images_the_authors_allimg_is_meant(folder):
    write_table(folder)
    write_images(folder / "Image/allimg", ["0.png"])
    assert labels(folder)[0].file == "allimg/0.png"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "not a readable MATLAB file"),
        (lambda path: path.write_bytes(b""), "not a readable MATLAB file"),
        (lambda path: _set_byte(path, 176, 255), "not a readable MATLAB file"),  # crashes scipy 1.17
        (lambda path: path.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(105) + b"\0\2IM" + bytes(400)), "not a readable"),
        (lambda path: scipy.io.savemat(path, {"MOS": MOS["quality"]}), "no variable MOSz; it has MOS"),
        (lambda path: scipy.io.savemat(path, {"MOSz": np.zeros(100)}), r"MOSz is float64 \(1, 100\), expected 2400"),
        (lambda path: scipy.io.savemat(path, {"MOSz": "text"}), "MOSz is .*, expected 2400 numbers"),
    ],
)
def test_a_bad_matlab_file_is_refused(folder, damage, expected):
    write_matlab(folder)
    write_table(folder)
    damage(folder / "DATA/MOS/mosz1.mat")
    with pytest.raises(InputError, match=rf"mosz1\.mat: {expected}") as error:
        labels(folder)
    assert "\n" not in str(error.value)


def test_matlab_files_alone_lack_the_prompts(folder):
    write_matlab(folder)
    with pytest.raises(InputError, match=r"data\.csv: no such file"):
        labels(folder)


@pytest.mark.parametrize("name", ["2400.png", "-1.png", "1.jpg", "a.png", "00001.png", "٣.png"])
def test_a_name_that_is_no_number_of_the_set_is_refused(folder, name):
    (folder / "data.csv").write_text(f"name,prompt,mos_quality\n{name},x,50\n")
    with pytest.raises(InputError, match=re.escape(f"data.csv, row 2: name {name!r}, expected 0.png to 2399.png")):
        labels(folder)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 0.999), value=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_any_damage_to_a_matlab_file_is_told_in_one_line(tmp_path_factory, at, value, cut):
    folder = tmp_path_factory.mktemp("matlab")
    scipy.io.savemat(folder / "mosz1.mat", {"MOSz": MOS["quality"]}, do_compression=len(value) % 2 == 0)
    content = (folder / "mosz1.mat").read_bytes()
    where = int(at * len(content)) if len(value) % 3 else int(at * 200)  # the header is short, and matters most
    rest = b"" if cut else content[where + len(value) :]
    (folder / "mosz1.mat").write_bytes(content[:where] + value + rest)
    for number in (2, 3):
        scipy.io.savemat(folder / f"mosz{number}.mat", {"MOSz": MOS["quality"]})
    write_table(folder)
    try:
        labels(folder)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
