"""source: what it sees of local files, and what it refuses before anything is deleted."""

import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from m3agiqa.errors import InputError
from m3agiqa.files import read_json
from pipeline import settings, sources
from stages import source

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the stage with some params changed ("a.b" for nested ones) and give what it wrote, by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for name in ("mine/images/a.png", "mine/data.csv", "more.zip", "words.csv"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)

    def stage(**changes):
        values = YAML(typ="safe").load(ROOT / "params.yaml")
        for key, value in {"datasets.folder.source": "mine", **changes}.items():
            *parents, last = key.split(".")
            section = values
            for parent in parents:
                section = section[parent]
            section[last] = value
        YAML().dump(values, Path("params.yaml"))
        source.main(settings.load())
        return {path.stem: read_json(path) for path in Path("data/sources").iterdir()}

    return stage


def test_nothing_local_is_the_same_every_time(run):
    found = run()
    assert found["dataset"]["local"] == found["teacher"]["local"] == []
    assert found["cross"] == {"name": None, "profile": None, "members": {}, "local": []}
    assert run() == found


@pytest.mark.parametrize("given", ["mine", ["mine", "more.zip"], ["hf://owner/name@" + "0" * 40, "mine"]])
def test_a_folder_an_archive_a_list_and_a_hub_are_one_rule(run, given):
    local = run(dataset="folder", **{"datasets.folder.source": given})["dataset"]["local"]
    expected = [place for place in ([given] if isinstance(given, str) else given) if "://" not in place]
    assert [seen["source"] for seen in local] == expected
    assert {seen["source"]: seen["files"] for seen in local}["mine"] == 2


@pytest.mark.parametrize("change", ["content", "time", "name", "new", "gone"])
def test_every_change_is_seen(run, change):
    before = run(dataset="folder")["dataset"]["local"]
    image = Path("mine/images/a.png")
    match change:
        case "content":
            image.write_text("another length")
        case "time":
            os.utime(image, ns=(1, 1))
        case "name":
            image.rename("mine/images/b.png")
        case "new":
            Path("mine/images/c.png").write_text("c")
        case "gone":
            image.unlink()
    assert run(dataset="folder")["dataset"]["local"] != before


@pytest.mark.parametrize("name", ["folder", "agiqa-3k", "avt-ai"])
def test_what_another_data_set_has_matters_to_nobody(run, name):
    before = run()
    assert run(**{f"datasets.{name}.source": "nowhere/at/all"}) == before


def test_a_place_that_is_gone_is_refused_in_one_line(run):
    with pytest.raises(InputError, match=r"nowhere: no such folder or file") as error:
        run(dataset="folder", **{"datasets.folder.source": "nowhere"})
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"words\.jsonl: no such folder or file"):
        run(teacher="file", **{"teachers.file.path": "words.jsonl"})


@pytest.mark.parametrize("linked", [False, True])
def test_what_the_next_stage_would_delete_is_refused(run, linked):
    own = Path("data/raw/folder/images")
    own.mkdir(parents=True)
    if linked:
        Path("mine/images").rename("mine/others")
        Path("mine/images").symlink_to(own.absolute())
    with pytest.raises(InputError, match=r"lies in data/raw/folder, which is for copies"):
        run(dataset="folder", **{"datasets.folder.source": "mine" if linked else "data/raw/folder"})
    assert own.is_dir()


def test_the_teachers_file_and_its_mllm_are_written_down(run):
    assert [seen["source"] for seen in run(teacher="file", **{"teachers.file.path": "words.csv"})["teacher"]["local"]]
    profile = run(teacher="mllm")["teacher"]["mllm"]
    assert profile["model"] == "models/small"
    assert run(teacher="mllm", **{"mllms.small.adapter": "some/adapter"})["teacher"]["mllm"] != profile
    assert run(teacher="offline", **{"mllms.small.max_length": 300})["teacher"]["mllm"] is None


def test_a_relative_place_counts_from_the_users_repository(run, tmp_path, monkeypatch):
    """In `dvc exp run --temp` and `--queue` the stage runs in a copy, and DVC_ROOT names the repository."""
    before = run(dataset="folder")["dataset"]
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    assert run(dataset="folder")["dataset"] == before


def test_what_is_of_another_choice_is_not_taken(run):
    run()
    assert sources.read(sources.DatasetSource, sources.CROSS, None).profile is None
    with pytest.raises(InputError, match=r"cross\.json: not of folder; run python -m stages\.source"):
        sources.read(sources.DatasetSource, sources.CROSS, "folder")
