"""The paid teacher: its rate against the limits, what journal and limiter cost, its memory.

`python -m benchmarks.teacher`. The caption stage runs as a process of its own and talks real HTTP, through the
default SDK, to a local server that stands for the API. Simulated are that server, which answers after a fixed time, and
the images, one picture under many names.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, chdir, suppress
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from PIL import Image

from analyzers.brief import brief
from analyzers.gemini.teacher import Gemini
from analyzers.ledger import Ledger
from analyzers.limits import Limiter
from analyzers.questions import questions
from analyzers.teacher import Answer, Question, Usage
from benchmarks import peak_memory, seconds
from data.tables.frames import write_table
from m3agiqa.aspects import ASPECTS
from m3agiqa.journal import Journal
from pipeline import paths
from tests.caption_project import ROOT, write_params
from tests.gemini_server import KEY, TEXTS, GeminiServer, answer, prompt_tokens

SIDE = 256  # pixels of the picture
FEW, ASKED = 2000, 200  # images of the smaller measurement of memory; how many of them are not in the journal yet
ANSWER = Answer({aspect: TEXTS[aspect] * 4 for aspect in ASPECTS}, "STOP", "gemini-3.8-flash", Usage(400, 250, 300))
JOURNAL = ".cache/caption/gemini/answers.jsonl"
UNLIMITED = dict.fromkeys(("requests_per_minute", "input_tokens_per_minute", "requests_per_day"))


@dataclass(frozen=True)
class Load:
    """A limit, and how long an answer takes."""

    limit: str
    size: int  # of the limit, a minute
    latency: float  # seconds

    def bound(self, tokens: int) -> int:
        """Captions a minute that the limit allows, of so many input tokens each."""
        return self.size // tokens if self.limit == "input_tokens_per_minute" else self.size

    def concurrency(self, tokens: int) -> int:
        """As many requests at once as rate × latency asks for, and one."""
        return ceil(self.bound(tokens) / 60 * self.latency) + 1


LOADS = (
    Load("requests_per_minute", 120, 0.5),
    Load("requests_per_minute", 300, 2),
    Load("requests_per_minute", 300, 8),
    Load("requests_per_minute", 600, 4),
    Load("input_tokens_per_minute", 100_000, 2),
)


def project(folder: Path, images: int, **limits: int | None) -> list[Question]:
    """All that the caption stage reads; and what it will ask."""
    folder.mkdir()
    with chdir(folder):
        picture = paths.raw("folder") / "images/picture.png"
        picture.parent.mkdir(parents=True)
        coarse = np.random.default_rng(0).integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(picture)
        ids = [f"image-{number:05d}" for number in range(images)]
        samples = pd.DataFrame({"image_id": ids, "path": "images/picture.png", "generator": "", "comment": ""})
        samples["sha256"] = [hashlib.sha256(image_id.encode()).hexdigest() for image_id in ids]
        samples["prompt"] = [f"{image_id}, a lighthouse in a storm, oil on canvas, wide brush" for image_id in ids]
        samples[[f"{kind}_{aspect}" for aspect in ASPECTS for kind in ("mos", "std")]] = 2.5
        write_table(samples, paths.samples("folder"))
        write_table(pd.DataFrame({"image_id": ids, "split": "train"}), paths.splits("folder"))
        params = {"timeout": 60, **UNLIMITED, **limits}
        return list(questions(write_params(**{f"runtime.teacher.{key}": value for key, value in params.items()})))


def start(folder: Path, server: GeminiServer) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"GEMINI_API_KEY": KEY, "GEMINI_API_ENDPOINT": server.url}
    environment |= {"DVC_ROOT": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.caption"]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def finish(running: "subprocess.Popen[bytes]") -> float:
    """Wait for the stage; its peak resident memory in MB."""
    peak = 0.0
    while running.poll() is None:
        with suppress(OSError):  # it may end at this moment, its file gone or empty of memory
            peak = peak_memory(running.pid)
        time.sleep(0.01)
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, running.args)
    return peak


def rates(folder: Path) -> None:
    """All loads at the same time, for two whole minutes and the first request after them."""
    [question] = project(folder / "one", 1)
    tokens = prompt_tokens(brief(question, show_mos=True))
    with ExitStack() as stack:
        servers, stages = [], []
        for number, load in enumerate(LOADS):
            limits = {load.limit: load.size, "concurrency": load.concurrency(tokens)}
            project(folder / f"rate {number}", 2 * load.bound(tokens) + 1, **limits)
            server = GeminiServer(partial(answer, delay=load.latency))
            servers.append(stack.enter_context(server))
        for number, server in enumerate(servers):
            stages.append(start(folder / f"rate {number}", server))
        for running in stages:
            finish(running)
    for load, server in zip(LOADS, servers, strict=True):
        at = sorted(request.at for request in server.requests)
        rate = (len(at) - 1) / (at[-1] - at[0]) * 60
        print(
            f"{load.size:,} {load.limit.replace('_', ' ')}, {load.latency} s an answer, {load.concurrency(tokens)} at "
            f"once: {rate / load.bound(tokens):.3f} of the bound ({rate:.0f} of {load.bound(tokens)} captions a minute)"
        )


def overhead(folder: Path) -> None:
    """Journal and limiter, one image after another, against a plain file that is written to the disk as often."""
    asked, number = project(folder / "overhead", 500), iter(range(100))
    line = b"x" * 1500

    def floor() -> None:
        with (folder / f"plain {next(number)}").open("wb", buffering=0) as file:
            for _ in asked:
                file.write(line)
                os.fsync(file.fileno())

    def journal() -> None:
        with Journal(folder / f"journal {next(number)}") as journal:
            ledger = Ledger(journal, teacher())
            for question in asked:
                ledger.record(question, ANSWER, attempts=1, seconds=1.0, at=0.0)

    def limiter() -> None:
        limiter = Limiter(
            requests_per_minute=10_000,
            input_tokens_per_minute=10**8,
            requests_per_day=10**6,
            tokens_a_request=400,
            notes=folder / f"notes {next(number)}",
        )
        for _ in asked:
            limiter.settle(limiter.acquire(), 400)

    plain, *ours = (seconds(action) / len(asked) * 1e3 for action in (floor, journal, limiter))
    for name, cost in zip(("journal and ledger", "limiter"), ours, strict=True):
        print(f"{name}: {cost / plain:.2f} x a plain line and fsync ({cost:.2f} ms an image, plain {plain:.2f} ms)")


def memory(folder: Path) -> None:
    """Nearly all images are in the journal already; the last ones are asked about, then the captions are written."""
    peaks = []
    for images in (ASKED, FEW, 10 * FEW):
        place = folder / f"memory {images}"
        asked = project(place, images)
        with patch("os.fsync"), Journal(place / JOURNAL) as journal:  # the disk's patience is measured elsewhere
            ledger = Ledger(journal, teacher())
            for question in asked[:-ASKED]:
                ledger.record(question, ANSWER, attempts=1, seconds=1.0, at=0.0)
        with GeminiServer() as server:
            peaks.append(finish(start(place, server)))
        if len(server.requests) != ASKED:
            raise RuntimeError(f"{len(server.requests)} requests instead of {ASKED}")
    floor, few, many = peaks
    print(
        f"memory: {many / few:.2f} x for 10 x the images ({few:.0f} MB for {FEW:,} and {many:.0f} MB for {10 * FEW:,}, "
        f"{(many - few) * 1e6 / (9 * FEW):.0f} bytes an image; {floor:.0f} MB for the {ASKED} that are asked about)"
    )


def teacher() -> Gemini:
    """The one of write_params: what it answered is found by what it was asked."""
    return Gemini("gemini-3.8-flash", 1.0, 8192, show_mos=True, sdk="google-generativeai", timeout=60)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for measurement in (overhead, memory, rates):
            measurement(Path(folder))


if __name__ == "__main__":
    main()
