"""The examples of CONTRIBUTING.md, put where it says into a copy of the code, and run there."""

import os
import re
import shutil
import subprocess
import sys
from ast import literal_eval
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from data.tables.frames import write_table
from m3agiqa.files import sha256
from m3agiqa.head import stacks
from m3agiqa.head.model import build_head
from tests import tiny_mllm
from tests.docs.pages import ROOT, Page
from tests.labelled import write_images
from tests.m3agiqa.head import test_heads
from tests.tiny_mllm import picture

PACKAGES = ("analyzers", "data", "evaluation", "finetune", "m3agiqa", "pipeline", "stages", "tests")
KEPT = {".py", ".txt", ".csv"}  # no images and no weights
EXPLAIN = """
import json, sys
path, prompt, *aspects = sys.argv[1:]
assert path.endswith(".png") and prompt.startswith("ball")
print(json.dumps({aspect: f"Of the {aspect} there is nothing bad to say" for aspect in aspects}))
"""


class Copy:
    """A copy of the code."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for package in PACKAGES:
            for file in (ROOT / package).rglob("*"):
                if file.suffix in KEPT and "__pycache__" not in file.parts:
                    self._take(file.relative_to(ROOT))
        for name in ("params.yaml", "dvc.yaml", "pyproject.toml"):
            self._take(Path(name))

    def _take(self, name: Path) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, self.path / name)

    def insert(self, name: str, place: str, text: str, *, after: bool = False) -> None:
        """Put `text` before, or `after`, the one match of `place`."""
        file = self.path / name
        before = file.read_text(encoding="utf-8")
        (found,) = re.finditer(place, before, re.MULTILINE)
        at = found.end() if after else found.start()
        file.write_text(before[:at] + text + before[at:], encoding="utf-8")

    def profile(self, section: str, text: str) -> str:
        """Put a profile into a section of params.yaml; its name."""
        self.insert("params.yaml", rf"^{section}:.*\n", text, after=True)
        (name,) = YAML(typ="safe").load(text)
        return name

    def settings(self, code: str, union: str) -> None:
        """Put a class into pipeline/profiles.py, and its name into a union of theirs."""
        self.insert("pipeline/profiles.py", rf"^{union} = ", f"{code}\n\n")
        name = re.match(r"class (\w+)", code)[1]
        self.insert("pipeline/profiles.py", rf"^{union} = Annotated\[", f"{name} | ", after=True)

    def choose(self, **changes: str) -> None:
        params = self.path / "params.yaml"
        YAML().dump({**YAML(typ="safe").load(params), **changes}, params)

    def run(self, *command: str) -> str:
        here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": here, "DVC_ROOT": str(self.path), "OMP_NUM_THREADS": "1"}
        ran = subprocess.run(
            ["python", "-m", *command], cwd=self.path, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture
def copy(tmp_path) -> Copy:
    return Copy(tmp_path)


def code(section: Page, *places: str) -> list[str]:
    """The code blocks of a section up to its last example, each announced by a text that names its `place`."""
    blocks = section.blocks
    assert len(blocks) == len(places), f"{len(blocks)} blocks, expected {places}"
    for block, place in zip(blocks, places, strict=True):
        assert place in block.before, f"expected a block for {place} after: {block.before}"
    return [block.code for block in blocks]


def test_a_head(contributing, copy, monkeypatch):
    places = "head/stacks.py, above `STACKS`", "in `STACKS`", "union `Head`", "params.yaml, under `heads`", "`SMALL`"
    stack, entry, settings, profile, size = code(contributing.section("A head"), *places)
    within = dict(vars(stacks))  # in this process: importing torch in another takes longer than all of the tests
    exec(compile(stack, "CONTRIBUTING.md", "exec"), within)  # noqa: S102 (ours)
    for table, lines in ((stacks.STACKS, entry), (test_heads.SMALL, size)):
        ((name, value),) = eval(f"{{{lines}}}", within).items()  # noqa: S307 (ours)
        monkeypatch.setitem(table, name, value)
    held_to = (
        test_heads.test_padding_changes_nothing,
        test_heads.test_every_head_with_a_stack_sees_the_order,
        partial(test_heads.test_no_token_sees_what_is_to_come, training=True),
        partial(test_heads.test_no_token_sees_what_is_to_come, training=False),
        test_heads.test_every_weight_learns_and_no_padding_does,
        test_heads.test_the_same_seed_makes_the_same_training_step,
        partial(test_heads.test_a_saved_head_predicts_the_same, copy.path),
    )
    for test in held_to:
        test(kind=name)

    copy.settings(settings, "Head")
    assert copy.profile("heads", profile) == name
    copy.choose(head=name)
    (copy.path / "shown.py").write_text("import pipeline.settings as s; print(s.load().model_dump()['heads'])")
    chosen = literal_eval(copy.run("shown"))[name]
    assert build_head(input_dim=8, seed=0, **chosen).recipe == {"input_dim": 8, "seed": 0, **chosen}


def test_a_data_set(contributing, copy):
    reader, profile = code(contributing.section("A data set"), "data/readers/my_set.py", "under `datasets`")
    (copy.path / "data/readers/my_set.py").write_text(reader)
    name = copy.profile("datasets", profile)
    copy.choose(dataset=name)
    folder = copy.path / "path/to/my_set"
    write_images(folder / "pictures", ["a.png", "b.png"])
    (folder / "labels.csv").write_text("file,text,score\na.png,a cat,10\nb.png,a dog,2\n")
    copy.run("stages.source")
    copy.run("stages.download")
    samples = pd.read_parquet(copy.path / f"data/raw/{name}/samples.parquet")
    assert list(samples["prompt"]) == ["a cat", "a dog"]
    assert list(samples["mos_quality"]) == [5, 1]


def test_a_teacher(contributing, copy):
    places = "analyzers/program.py", "union `Teacher`", "`_terms` of analyzers/journalled.py", "under `teachers`"
    teacher, settings, terms, profile = code(contributing.section("A teacher"), *places)
    (copy.path / "analyzers/program.py").write_text(teacher)
    copy.settings(settings, "Teacher")
    imports, lines = terms.split("\n\n", 1)
    copy.insert("analyzers/journalled.py", r"^from analyzers.captions import", f"{imports}\n")
    copy.insert("analyzers/journalled.py", r"^def _terms\(.*\n.*\n", lines, after=True)
    name = copy.profile("teachers", profile)
    copy.choose(dataset="folder", teacher=name)
    (copy.path / "path/to").mkdir(parents=True)
    (copy.path / "path/to/explain.py").write_text(EXPLAIN)
    _samples(copy.path, splits=["train", "val", "test"])
    copy.run("stages.caption")
    captions = pd.read_parquet(copy.path / "data/captions/folder.parquet")
    assert list(captions["image_id"]) == ["0", "1"]
    assert list(captions["authenticity"]) == ["Of the authenticity there is nothing bad to say"] * 2
    assert (copy.path / ".cache/caption/program/answers.jsonl").exists()


def _samples(root: Path, splits: list[str]) -> None:
    ids = [str(number) for number in range(len(splits))]
    rows = []
    for number, image_id in enumerate(ids):
        path = root / f"data/raw/folder/images/{image_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
        row = {"image_id": image_id, "path": f"images/{image_id}.png", "prompt": f"ball {image_id}", "generator": ""}
        rows.append(row | {"comment": "", "sha256": sha256(path), "mos_quality": 3.0, "mos_authenticity": 4.0})
    write_table(pd.DataFrame(rows), root / "data/raw/folder/samples.parquet")
    write_table(pd.DataFrame({"image_id": ids, "split": splits}), root / "data/splits/folder.parquet")


def test_a_model(contributing, copy, monkeypatch, capsys):
    profile, trial = code(contributing.section("A vision-language model"), "under `mllms`", "Try it on one image")
    copy.profile("mllms", profile)
    tiny_mllm.llava(copy.path / "path/to/model")
    picture(0).save(copy.path / "path/to/image.png")
    monkeypatch.chdir(copy.path)
    exec(compile(trial, "CONTRIBUTING.md", "exec"), {})  # noqa: S102 (ours)
    assert re.search(r"(bad|poor|fair|good|excellent) torch\.Size\(\[\d+, 32\]\)$", capsys.readouterr().out.strip())
