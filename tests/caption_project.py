"""What the caption stage needs, in a folder of its own: images, their tables, params set to the teacher gemini."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from ruamel.yaml import YAML

from data.tables.frames import write_table
from m3agiqa.files import sha256
from pipeline import paths
from pipeline.settings import PARAMS, Settings, load
from tests import forks
from tests.gemini_server import KEY, GeminiServer

ROOT = Path(__file__).parents[1]
ASPECTS = ("quality", "correspondence")
UNHURRIED = {"requests_per_minute": 60_000, "input_tokens_per_minute": 60_000_000, "requests_per_day": 100_000}


def write_samples(images: int, aspects: Sequence[str] = ASPECTS) -> None:
    """Images `0` … of one colour each, below the working directory."""
    rows = []
    for number in range(images):
        path = paths.raw("folder") / f"images/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (number % 256, number // 256, 170)).save(path)
        row = {"image_id": str(number), "path": f"images/{number}.png", "prompt": f"ball {number}", "generator": ""}
        row |= {"comment": "", "sha256": sha256(path)}
        row |= {f"{kind}_{aspect}": 1 + number % 20 / 10 for aspect in aspects for kind in ("mos", "std")}
        rows.append(row)
    write_table(pd.DataFrame(rows), paths.samples("folder"))


def write_splits(split: Sequence[str]) -> None:
    write_table(pd.DataFrame({"image_id": map(str, range(len(split))), "split": split}), paths.splits("folder"))


def write_params(**changes: Any) -> Settings:
    """The checked-in params with some keys changed ("a.b" for nested ones)."""
    params = YAML(typ="safe").load(ROOT / PARAMS) | {"dataset": "folder", "teacher": "gemini"}
    params["runtime"]["teacher"] |= UNHURRIED | {"concurrency": 4, "timeout": 5}
    for key, value in changes.items():
        section = params
        *parents, last = key.split(".")
        for parent in parents:
            section = section[parent]
        section[last] = value
    PARAMS.write_text(json.dumps(params))  # YAML as well, and written in no time
    return load()


def start(root: Path, server: GeminiServer, *options: str, python: Path | str = sys.executable) -> subprocess.Popen:
    """`python -m stages.caption` in `root`, before a server."""
    command = [python, "-m", "stages.caption", *options]
    environment = os.environ | _environment(root, server)
    return subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def forked(root: Path, server: GeminiServer) -> BaseProcess:
    """The same, as a fork of a process that has imported all of it already; what it says goes to `root`/log."""
    process = forks.context().Process(target=_run, args=(root, _environment(root, server)))
    process.start()
    return process


def _run(root: Path, environment: Mapping[str, str]) -> None:
    os.chdir(root)
    os.environ.update(environment)
    with Path("log").open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["stages/caption.py"]
    sys.modules.pop("stages.caption", None)
    runpy.run_module("stages.caption", run_name="__main__", alter_sys=True)


def _environment(root: Path, server: GeminiServer) -> dict[str, str]:
    service = {"GEMINI_API_KEY": KEY, "GEMINI_API_ENDPOINT": server.url}
    return service | {"DVC_ROOT": str(root), "PYTHONPATH": str(ROOT)}
