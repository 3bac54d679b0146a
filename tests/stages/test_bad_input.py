"""What a user can get wrong, through the stages themselves: one line that names the place, status 2, no traceback."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from ruamel.yaml import YAML

from data.tables.frames import read_table
from pipeline import paths
from pipeline.settings import load
from pipeline.stage import stage
from stages import distill, download, split

ROWS = [(f"{n}.png", f"ball {n}", "3.5") for n in range(48)]


@pytest.fixture
def project(tmp_path, folder_params):
    """A folder of 48 images, with the checked-in params set to it; `write(rows)` writes its csv."""
    images = tmp_path / "mine/images"
    images.mkdir(parents=True)
    for number, (name, _, _) in enumerate(ROWS):
        Image.new("RGB", (32, 32), (7, number, 170)).save(images / name)

    def write(rows=ROWS, header="name,prompt,mos_quality", **changes):
        lines = [header, *(",".join(row) for row in rows)]
        (tmp_path / "mine/data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        YAML().dump(folder_params | changes, tmp_path / "params.yaml")
        return images

    return write


def refusal(module, capsys):
    with pytest.raises(SystemExit) as stopped:
        stage(module.main)
    assert stopped.value.code == 2
    *progress, said = capsys.readouterr().err.splitlines()
    assert all(not line or line.startswith("read images: ") for line in progress)
    return said


def _sixteen_bit(path):
    Image.new("I;16", (32, 32)).save(path)


def _cmyk(path):
    Image.new("CMYK", (32, 32)).save(path, "JPEG")


def _animated(path):
    frames = [Image.new("RGB", (32, 32), (shade, 0, 0)) for shade in (0, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def _truncated(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (Path.unlink, "does not exist"),
        (_truncated, "truncated|damaged|cut"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: Image.new("RGB", (1, 1)).save(path), "1×1|1 x 1|1x1"),
        (_cmyk, "CMYK"),
        (_sixteen_bit, "8 bits a channel"),
        (_animated, "frames|animated"),
        (lambda path: Image.new("1", (10_001, 10_000)).save(path), "pixels"),
    ],
    ids=["missing", "truncated", "zero-byte", "1x1", "cmyk", "16-bit", "animated", "100 megapixels"],
)
def test_a_bad_image_stops_the_download(project, capsys, damage, expected):
    damage(project() / "4.png")
    said = refusal(download, capsys)
    assert "mine" in said
    assert "4.png" in said
    assert re.search(expected, said), said


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([*ROWS, ("0.png", "again", "2")], "row 50"),
        ([*ROWS, ("48.png", "x", "5.5")], "5.5"),
        ([*ROWS, ("48.png", "x", "NaN")], "NaN|nan"),
        ([*ROWS, ("../48.png", "x", "2")], r"\.\."),
    ],
    ids=["duplicate", "outside the scale", "NaN", "path that leaves the folder"],
)
def test_a_bad_row_stops_the_download(project, capsys, rows, expected):
    images = project(rows)
    shutil.copy(images / "0.png", images / "48.png")
    said = refusal(download, capsys)
    assert "data.csv" in said
    assert re.search(expected, said), said


@pytest.mark.parametrize(
    ("header", "expected"),
    [("prompt,mos_quality", "name"), ("name,mos_quality", "prompt"), ("name,prompt", "mos_quality")],
)
def test_a_missing_column_is_named(project, capsys, header, expected):
    project([("0.png", "4")], header=header)
    said = refusal(download, capsys)
    assert "data.csv" in said
    assert expected in said


def test_prompts_in_any_script_or_none_are_no_fault(project):
    prompts = ["", "  ", "zwei rote Bälle", "猫在月亮上", "قطة", "🐈", '"a ""cat"""', '"two\nlines"']
    rows = [(f"{n}.png", prompt, "2") for n, prompt in enumerate(prompts)]
    project(rows)
    download.main(load())
    assert len(read_table(paths.samples("folder"))) == len(prompts)


def test_too_few_images_to_split(project, capsys):
    project(ROWS[:2])
    download.main(load())
    assert re.search("split|prompts|images", refusal(split, capsys))


def test_a_prompt_that_cannot_be_read_is_found_before_anything_is_paid(project, capsys):
    words = {3: 308, 5: 400, 7: 60}  # images by number, words of their prompts
    project(
        [(name, " ".join(["a ball"] * (words.get(n, 2) // 2)) + f" {n}", mos) for n, (name, _, mos) in enumerate(ROWS)]
    )
    download.main(load())
    said = refusal(split, capsys)
    assert "3.png (309 words), data/raw/folder/images/5.png (401 words) are too long for" in said
    assert "7.png" not in said
    assert "max_length 384" in said
    assert not paths.splits("folder").exists()


def test_an_aspect_that_the_data_set_does_not_have(project, capsys):
    project(aspect="authenticity")
    download.main(load())
    split.main(load())
    said = refusal(distill, capsys)
    assert "authenticity" in said
    assert "quality" in said


@pytest.mark.parametrize("key", ["aspect", "dataset", "head", "teacher", "mllm"])
def test_an_unknown_name_in_params_stops_every_stage(project, capsys, key):
    project(**{key: "nonesuch"})
    for module in (download, split, distill):
        said = refusal(module, capsys)
        assert re.search(rf"params\.yaml: {key}.*nonesuch", said)
