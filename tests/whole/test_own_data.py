"""Your own data cannot break DVC: no source, wherever it is, stops another data set or goes unseen."""

import shutil

import pytest
from PIL import Image

from tests.small_project import ran


@pytest.fixture
def project(reproduced, tmp_path):
    return reproduced.copy(tmp_path / "project")


def write_folder(project, images: int = 48) -> None:
    (project.path / "mine/images").mkdir(parents=True)
    rows = ["name,prompt,mos_quality"]
    for number in range(images):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(project.path / f"mine/images/{number}.png")
        rows.append(f"{number}.png,prompt {number},{1 + number % 5}")
    (project.path / "mine/data.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(
    "source", [["a/b", "c.zip"], "hf://owner/name@" + "0" * 40, "gone/for/good", "https://a.b/c.zip"]
)
def test_what_another_data_set_names_stops_nothing(project, source):
    project.set_params(**{"datasets.folder.source": source, "teachers.file.path": "gone.csv"})
    assert not ran(project.dvc("repro"))
    project.dvc("status")


def test_a_folder_that_is_gone_is_one_line_and_deletes_nothing(project):
    project.set_params(**{"dataset": "folder", "datasets.folder.source": "gone"})
    said = project.dvc("repro", check=False)
    assert said.returncode
    assert "source: " in said.stderr
    assert "gone: no such folder or file" in said.stderr
    assert "Traceback" not in said.stderr
    assert (project.path / "data/raw/synthetic/samples.parquet").exists()


def test_a_change_in_any_local_source_is_seen(project):
    """A folder and, beside it, an archive: of a list, too."""
    write_folder(project)
    shutil.make_archive(str(project.path / "more"), "zip", project.path / "mine", "images")
    source = ["mine/data.csv", "more.zip"]
    project.set_params(**{"dataset": "folder", "datasets.folder.source": source, "datasets.folder.scale": [1, 5]})
    assert ran(project.dvc("repro", "split")) == ["download", "split"]
    assert ran(project.dvc("repro", "split")) == []
    Image.new("RGB", (32, 32), (0, 99, 0)).save(project.path / "mine/images/0.png")
    shutil.make_archive(str(project.path / "more"), "zip", project.path / "mine", "images")
    assert ran(project.dvc("repro", "split"))[0] == "download"
