"""The download stage on published formats, from a local server and from archives."""

import hashlib
import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import py7zr
import pytest
from ruamel.yaml import YAML

from data.download import transfer
from data.tables.frames import read_table
from m3agiqa.files import read_json
from pipeline import paths
from pipeline.settings import load
from pipeline.stage import stage
from stages import download
from tests.dataset_server import COMMIT, DatasetServer, Fault
from tests.labelled import image_bytes

PARAMS = Path(__file__).parents[2] / "params.yaml"
NAMES = [f"glide_normal_{n:03d}.jpg" for n in range(12)]
ROWS = "".join(f"{name},a cat,,,,{n / 4},0.5,{5 - n / 4},0.25\n" for n, name in enumerate(NAMES))
TABLE = f"name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align\n{ROWS}".encode()
IMAGES = {f"images/{name}": image_bytes(n * 20, "JPEG") for n, name in enumerate(NAMES)}
SET = {"data.csv": TABLE, **IMAGES}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The checked-in params with another source of a data set, in a folder of its own; `write` returns the settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(transfer, "PAUSE", 0)
    params = YAML(typ="safe").load(PARAMS)

    def write(source, dataset="agiqa-3k"):
        params["dataset"] = dataset
        params["datasets"][dataset]["source"] = source
        YAML().dump(params, tmp_path / "params.yaml")
        return load()

    return write


@pytest.fixture
def server(monkeypatch):
    with DatasetServer(hub={"owner/set": SET}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def archive(kind, members=SET, folder="AGIQA-3K/"):
    """The bytes of an archive."""
    content = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(content, "w") as file:
            for name, member in members.items():
                file.writestr(folder + name, member)
    elif kind == "7z":
        with py7zr.SevenZipFile(content, "w") as file:
            for name, member in members.items():
                file.writestr(member, folder + name)
    else:
        with tarfile.open(fileobj=content, mode="w:gz") as file:
            for name, member in members.items():
                info = tarfile.TarInfo(folder + name)
                info.size = len(member)
                file.addfile(info, io.BytesIO(member))
    return content.getvalue()


def check_samples(dataset="agiqa-3k"):
    samples = read_table(paths.samples(dataset))
    assert list(samples["image_id"]) == [name.removesuffix(".jpg") for name in NAMES]
    assert list(samples["mos_quality"]) == [n / 4 for n in range(12)]
    assert list(samples["std_correspondence"]) == [0.25] * 12
    for row in samples.itertuples():
        content = (paths.raw(dataset) / row.path).read_bytes()
        assert content == IMAGES[row.path]
        assert hashlib.sha256(content).hexdigest() == row.sha256
    assert not list(Path(".cache").rglob("unpacked"))


def test_from_the_hub(project, server):
    server.script = lambda request: Fault(send=100) if request.path.endswith("003.jpg") and request.number < 3 else None
    settings = project(f"hf://owner/set@{COMMIT}")
    download.main(settings)
    check_samples()
    assert [request.start for request in server.of("003.jpg")] == [None, 100, 200, 300]

    shutil.rmtree("data")  # DVC empties the stage's out
    server.requests.clear()
    download.main(settings)
    check_samples()
    assert server.requests == []


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "7z"])
def test_from_an_archive_on_the_web_and_from_the_same_on_this_machine(project, server, kind):
    content = archive(kind)
    server.web = {f"/files/set.{kind}": content}
    pin = f"#sha256={hashlib.sha256(content).hexdigest()}"
    download.main(project(f"{server.url}/files/set.{kind}{pin}"))
    check_samples()
    Path(f"mine.{kind}").write_bytes(content)
    for source in (f"mine.{kind}", f"mine.{kind}{pin}"):
        download.main(project(source))
        check_samples()


def test_labels_from_one_source_and_images_from_archives_in_another(project, server):
    server.hub["owner/labels"] = {"data.csv": TABLE}
    inner = archive("zip", IMAGES, folder="Image/")
    Path("given").mkdir()
    Path("given/set.7z").write_bytes(archive("7z", {"Image/allimg.zip": inner}, folder=""))
    download.main(project([f"hf://owner/labels@{COMMIT}", "given"]))
    check_samples()
    assert [path.name for path in Path("given").rglob("*")] == ["set.7z"]


def test_another_archive_at_the_same_place_is_seen(project):
    Path("mine.zip").write_bytes(archive("zip", {"data.csv": TABLE.replace(b"a cat", b"a dog"), **IMAGES}))
    download.main(project("mine.zip"))
    Path("mine.zip").write_bytes(archive("zip"))
    download.main(load())
    check_samples()
    assert set(read_table(paths.samples("agiqa-3k"))["prompt"]) == {"a cat"}


def test_what_is_left_out_is_said_and_counted(project, capsys):
    members = {
        "data.csv": b"name,prompt,mos\nDALLE2_0.png,x,1\nDALLE2_1.png,x,\n",
        "info_train.csv": b"name\nDALLE2_0.png\n",
        "info_val.csv": b"name\nDALLE2_1.png\n",
        "info_test.csv": b"name\nDALLE2_2.png\n",
        "images/DALLE2_0.png": image_bytes(),
    }
    Path("set.zip").write_bytes(archive("zip", members))
    download.main(project("set.zip", "aigciqa-20k"))
    assert "download: 1 images left out: no MOS (val)" in capsys.readouterr().err
    assert read_json(paths.raw("aigciqa-20k") / "about.json")["left_out"] == {"no MOS (val)": 1}


@pytest.mark.parametrize("profile", ["agiqa-3k", "aigciqa2023", "aigciqa-20k", "avt-ai", "raise", "clive"])
def test_each_published_profile_says_in_one_line_what_it_lacks(project, server, capsys, profile):
    """Here no profile's source can be had: that is bad input, not a traceback."""
    source = YAML(typ="safe").load(PARAMS)["datasets"][profile]["source"]
    project(source, profile)
    with pytest.raises(SystemExit) as stopped:
        stage(download.main)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    first = source if isinstance(source, str) else source[0]
    assert first in said


def test_a_corrupt_image_in_an_archive_is_named(project, capsys):
    broken = {**SET, "images/glide_normal_004.jpg": IMAGES["images/glide_normal_004.jpg"][:200]}
    Path("set.zip").write_bytes(archive("zip", broken))
    project("set.zip")
    with pytest.raises(SystemExit):
        stage(download.main)
    said = capsys.readouterr().err.splitlines()[-1]
    assert "data.csv, row 6:" in said
    assert "glide_normal_004.jpg: damaged or truncated image" in said


def test_an_archive_in_an_archive_in_an_archive_is_refused(project, capsys):
    content = archive("zip")
    for _ in range(2):
        content = archive("zip", {"set.zip": content}, folder="")
    Path("set.zip").write_bytes(content)
    project("set.zip")
    with pytest.raises(SystemExit):
        stage(download.main)
    assert "an archive in an archive in an archive; unpack it yourself" in capsys.readouterr().err
