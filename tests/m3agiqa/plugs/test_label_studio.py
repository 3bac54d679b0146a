"""Scores as Label Studio's tasks: from every file that predict writes, and as Label Studio takes them."""

import json
import os
import sys
from xml.etree import ElementTree as ET

import pytest

from m3agiqa import score_files
from m3agiqa.__main__ import main
from m3agiqa.aspects import ASPECTS, Scale
from m3agiqa.image_list import ListedImage
from m3agiqa.plugs.label_studio import config, read, task
from m3agiqa.score import Interval, Score
from m3agiqa.score_files import Scored

HUNDRED = Scale(0, 100)
VALUES = {"Rating": ("rating", int), "TextArea": ("text", list)}  # of what people fill in
FLAT = {"image": "a", "prompt": "", "aspect": "quality", "status": "ok"}
FLAT |= dict.fromkeys(("score", "low", "high", "scale_low", "scale_high"), 3)
FILES = [(wide, suffix) for wide in (False, True) for suffix in ("csv", "jsonl", "parquet")]


def told(value=61.37, aspect="quality", scale=HUNDRED, description="Sharp & clear", warnings=()):
    return Score(aspect, "ok", value, Interval(value - 2, value + 2), None, description, warnings, scale)


def row(*scores, name="cat.png", prompt="a cat", **columns):
    return Scored(ListedImage(name, None, prompt, columns), scores)


ROWS = [
    row(told(), told(3.5, "authenticity", Scale(1, 5), None)),
    row(told(2.25, warnings=("size: 8 x 8", "colour")), Score("authenticity", "refused: no"), name="=1+1 & ü#?.png"),
    row(told(), told(4.5, "authenticity", Scale(1, 5), None)),  # the first one again
    row(told(), told(4.5, "authenticity", Scale(1, 5), None)),  # and twice
    row(Score("quality", "failed: torn"), Score("authenticity", "failed: torn"), prompt="-", aspect="mine", status="x"),
]


def run(monkeypatch, capsys, *given):
    """The tasks, the configuration and what is said."""
    monkeypatch.setattr(sys, "argv", ["m3agiqa", "label-studio", *map(str, given)])
    main()
    return capsys.readouterr().err


def check(xml, task):
    """What Label Studio asks of a task: what the configuration shows, and values of the kinds that it has."""
    tags = list(ET.fromstring(xml))  # noqa: S314 (ours)
    shown = {tag.get("value")[1:] for tag in tags if (tag.get("value") or "").startswith("$")}
    assert shown <= {name for name, value in task["data"].items() if isinstance(value, str)}
    controls = {tag.get("name"): tag for tag in tags if tag.get("toName")}
    for prediction in task["predictions"]:
        assert prediction.keys() == {"model_version", "result"}
        for region in prediction["result"]:
            control = controls[region["from_name"]]
            assert (region["type"], region["to_name"]) == (control.tag.lower(), control.get("toName"))
            ((name, value),) = region["value"].items()
            assert (name, type(value)) == VALUES[control.tag]
            assert name == "text" or 1 <= value <= int(control.get("maxRating"))


@pytest.mark.parametrize(("wide", "suffix"), FILES)
def test_every_file_of_scores_is_read(tmp_path, wide, suffix):
    score_files.write(ROWS, tmp_path, wide=wide, parquet=True)
    found = list(read(tmp_path / f"scores.{suffix}"))
    assert [(image.name, image.prompt) for image, _ in found] == [(image.name, image.prompt) for image, _ in ROWS]
    assert [[(s.aspect, s.status) for s in scores] for _, scores in found] == [
        [(s.aspect, s.status) for s in scores] for _, scores in ROWS
    ]
    assert list(map(task, found)) == list(map(task, ROWS))


def test_images_with_other_aspects_stay_apart(tmp_path):
    """As in a file that somebody has put together."""
    one, other = row(told(), name="a.png"), row(told(4.5, "authenticity", Scale(1, 5)), name="b.png")
    score_files.write([one, other], tmp_path)
    assert list(map(task, read(tmp_path / "scores.jsonl"))) == [task(one), task(other)]


def test_a_task_has_what_the_judge_says():
    made = task(row(told(warnings=("size: 8 x 8", "colour")), told(3.5, "authenticity", Scale(1, 5), None)))
    assert made == {
        "data": {
            "image": "/data/local-files/?d=cat.png",
            "prompt": "a cat",
            "quality_said": "61.37 (59.37 to 63.37) of 0 to 100; size: 8 x 8; colour",
            "quality_score": 61.37,
            "authenticity_said": "3.50 (1.50 to 5.50) of 1 to 5",
            "authenticity_score": 3.5,
        },
        "predictions": [
            {
                "model_version": "m3agiqa",
                "result": [
                    {"from_name": "quality", "to_name": "image", "type": "rating", "value": {"rating": 3}},
                    {
                        "from_name": "quality_description",
                        "to_name": "image",
                        "type": "textarea",
                        "value": {"text": ["Sharp & clear"]},
                    },
                    {"from_name": "authenticity", "to_name": "image", "type": "rating", "value": {"rating": 4}},
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    ("value", "scale", "stars"),
    [
        (0, (0, 5), 1),
        (5, (0, 5), 5),
        (2.5, (0, 5), 3),
        (1.49, (1, 5), 1),
        (1.5, (1, 5), 2),
        (4.5, (1, 5), 5),
        (88, (0, 100), 5),
    ],
)
def test_a_star_is_the_nearest_on_one_to_five(value, scale, stars):
    """As people give them: whoever trains on what comes back says that its scale is 1 to 5."""
    (prediction,) = task(row(told(value, scale=Scale(*scale))))["predictions"]
    assert prediction["result"][0]["value"] == {"rating": stars}


def test_an_image_without_a_score_is_a_task_without_a_prediction():
    made = task(ROWS[-1])
    assert made["predictions"] == []
    assert (made["data"]["quality_said"], made["data"]["quality_score"]) == ("failed: torn", None)
    (prediction,) = task(ROWS[1])["predictions"]  # one aspect has a score, the other none
    assert [region["from_name"] for region in prediction["result"]] == ["quality", "quality_description"]


def test_a_name_becomes_an_address():
    name = f"a b/=1+1 & ü#?{os.fsdecode(b'caf%se9' % bytes([92]))}.png"
    found = task(row(told(), name=name), "https://example.org/")["data"]["image"]
    assert found == "https://example.org/a%20b/%3D1%2B1%20%26%20%C3%BC%23%3Fcaf%5Ce9.png"
    assert task(row(told(), name=os.fsdecode(b"caf\xe9.png")))["data"]["image"].endswith("?d=caf%3F.png")


def test_the_configuration_fits_the_tasks():
    xml = config({score.aspect for _, scores in ROWS for score in scores})
    for each in ROWS:
        check(xml, task(each))
    assert [tag.get("name") for tag in ET.fromstring(config(ASPECTS)).iter("Rating")] == list(ASPECTS)  # noqa: S314


def test_label_studios_own_classes_take_them():
    interface = pytest.importorskip(
        "label_studio_sdk.label_interface", reason="label-studio-sdk wants an environment of its own: docs/plugs.md"
    )
    xml = config(ASPECTS[::2])
    labels = interface.LabelInterface(xml)
    labels.validate()
    for made in map(task, ROWS):
        assert labels.validate_task({"data": made["data"]})
        for prediction in made["predictions"]:
            assert labels.validate_prediction(prediction, return_errors=True) == []
    wrong = {"model_version": "m3agiqa", "result": [{**prediction["result"][0], "value": {"rating": 7}}]}
    assert labels.validate_prediction(wrong, return_errors=True)


def test_the_command_writes_both_files(tmp_path, monkeypatch, capsys):
    score_files.write(ROWS, tmp_path)
    out = tmp_path / "out"
    said = run(monkeypatch, capsys, tmp_path / "scores.jsonl", "--out", out, "--prefix", "https://example.org/")
    assert said == f"label-studio: tasks.json (5 tasks, 4 with a prediction) and config.xml are in {out}\n"
    tasks = json.loads((out / "tasks.json").read_text(encoding="utf-8"))
    assert tasks == [task(each, "https://example.org/") for each in ROWS]
    assert (out / "config.xml").read_text() == config(("quality", "authenticity"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"image": "a.png", "prompt": ""}', "line 1: expected a column aspect or quality_status or"),
        ('{"image": null, "prompt": "", "aspect": "quality"}', "line 1: image is None, expected its name"),
        ('{"image": "a.png", "prompt": "", "aspect": "x"}', "line 1: aspect is 'x', expected one of quality, "),
        (
            '{"image": "a", "prompt": "", "quality_status": "ok", "quality_score": "high"}',
            "score is 'high', expected a num",
        ),
        ('{"image": "a", "prompt": "", "quality_status": "ok", "quality_score": 1}', "low is None, expected a number"),
        (
            '{"image": "a", "prompt": "", "quality_status": "ok", "quality_score": NaN}',
            "score is nan, expected a number",
        ),
        (json.dumps(FLAT), "line 1: scale_high is 3, expected more than scale_low"),
    ],
)
def test_what_is_no_file_of_scores_is_one_line(tmp_path, monkeypatch, capsys, line, said):
    (tmp_path / "scores.jsonl").write_text(line)
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, capsys, tmp_path / "scores.jsonl", "--out", tmp_path / "out")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("label-studio: ")
    assert said in line
    assert not (tmp_path / "out").exists()
