"""The server under load: `python -m benchmarks.serve`.

Many clients, in a process of their own, send uneven requests one after another: 1 to 8 images, of several sizes, every
tenth of them a file that is no image. The floor is a call of the scorer with all of these files, in the server's own
process, in batches of the same size. Both are done in turn, and each answer is compared with the floor's: none may be
lost or be another's. Then: the memory that the process has after each round.

The judge is that of benchmarks/predict.py, `tiny` with an untrained head; --bundle takes another, slower one.
"""

import argparse
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import uvicorn
from PIL import Image
from transformers import logging

from benchmarks.predict import build
from m3agiqa.bundle import open_bundle
from m3agiqa.score import Score
from m3agiqa.scorer import Scorer
from m3agiqa.server import create_app
from m3agiqa.workspace import parts_here

ROOT = Path(__file__).parents[1]
SIDES = (64, 192, 320, 512, 768)  # pixels
BAD = 10  # every tenth
APART = 1e-3  # of a scale's width: in other company a score's last digits differ

Asked = list[list[tuple[Path, str]]]  # by request: files and prompts


def files(folder: Path, requests: int) -> Asked:
    """Write what the requests send, and a list of it."""
    random, asked, number = np.random.default_rng(0), [], 0
    for _ in range(requests):
        request = []
        for _ in range(random.integers(1, 9)):
            file = folder / f"{number}.{('png', 'jpg')[number % 2]}"
            file.write_bytes(_bad(number) if number % BAD == 0 else _picture(number))
            request.append((file, f"{number} red cubes on a table " + "and a ball " * (number % 8)))
            number += 1
        asked.append(request)
    listed = [[(str(file), prompt) for file, prompt in request] for request in asked]
    (folder / "asked.json").write_text(json.dumps(listed))
    return asked


def load(url: str, folder: Path, clients: int) -> None:
    """Be the clients, and print what they were answered and how long it took."""
    asked = json.loads((folder / "asked.json").read_text())
    free = threading.local()

    def send(request: list[list[str]]) -> tuple[int, Any]:
        if not hasattr(free, "client"):
            free.client = httpx2.Client(timeout=600)
        form = [("images", (Path(file).name, Path(file).read_bytes())) for file, _ in request]
        while True:
            answer = free.client.post(url, files=form, data={"prompts": [prompt for _, prompt in request]})
            if answer.status_code != 503:
                return answer.status_code, answer.json()
            time.sleep(int(answer.headers["Retry-After"]))

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(send, asked))
    print(json.dumps({"seconds": time.perf_counter() - begun, "answers": answers}))


def measure(scorer: Scorer, folder: Path, clients: int, requests: int, rounds: int) -> None:
    """Print throughput, what was lost, and memory."""
    aspect = scorer.aspects[0]
    asked = files(folder, clients * requests)
    pairs = [pair for request in asked for pair in request]
    app = create_app(scorer)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1/scores"
        running = threading.Thread(target=server.run, args=([bound],))
        running.start()
        command = [sys.executable, "-m", "benchmarks.serve", "--ask", url, str(folder), "--clients", str(clients)]
        scorer([Image.new("RGB", (64, 64))], aspect=aspect)  # the first pass also loads
        floors, times, lost = [], [], 0
        for done in range(rounds):
            begun, used = time.perf_counter(), time.process_time()
            expected = scorer([file.read_bytes() for file, _ in pairs], [prompt for _, prompt in pairs], aspect=aspect)
            floors.append(time.perf_counter() - begun)
            before, used = time.process_time() - used, time.process_time()
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            after, told = time.process_time() - used, json.loads(ran.stdout)
            times.append(told["seconds"])
            lost += _lost(asked, told["answers"], expected, aspect)
            print(
                f"round {done + 1}: {floors[-1]:.1f} s by the scorer ({before:.1f} s of a core), "
                f"{times[-1]:.1f} s by the server ({after:.1f} s); memory {_resident():.0f} MB",
                flush=True,
            )
        counted = httpx2.get(url.replace("/v1/scores", "/metrics")).text
        server.should_exit = True
        running.join()
    bad, number = sum(score.status != "ok" for score in expected), len(pairs)
    print(
        f"serve: {min(floors) / min(times):.2f} x the images a second of the scorer ({number / min(times):.1f} and "
        f"{number / min(floors):.1f}; {clients} clients, {number} images in {len(asked)} requests, {bad} of them bad, "
        f"batches of {scorer.batch}, on average {_mean(counted):.1f}); lost or another's: {lost}"
    )


def _mean(counted: str) -> float:
    """Images a batch, by the server's own metrics."""
    total, batches = (
        float(counted.split(f"\nm3agiqa_batch_images_{name} ")[1].split(maxsplit=1)[0]) for name in ("sum", "count")
    )
    return total / batches


def _lost(asked: Asked, answers: list[tuple[int, Any]], expected: list[Score], aspect: str) -> int:
    """Images without the answer that the scorer gave them."""
    scores, lost = iter(expected), 0
    for request, (code, answer) in zip(asked, answers, strict=True):
        found = answer["images"] if code == 200 else []
        for place in range(len(request)):
            score = next(scores)
            if place >= len(found) or not _same(found[place]["scores"][aspect], score):
                lost += 1
    return lost


def _same(found: dict[str, Any], score: Score) -> bool:
    if score.score is None or found["score"] is None:
        return bool(found["status"] == score.status)
    return bool(abs(found["score"] - score.score) <= APART * (score.scale.high - score.scale.low))


def _resident() -> float:
    """MB that this process has in memory now, on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _picture(number: int) -> bytes:
    random, side = np.random.default_rng(number), SIDES[number % len(SIDES)]
    image = Image.fromarray(random.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)).resize((side, side))
    file = io.BytesIO()
    image.save(file, ("PNG", "JPEG")[number % 2])
    return file.getvalue()


def _bad(number: int) -> bytes:
    """Nothing, no image, or half of one."""
    return (b"", b"no image at all", _picture(number)[:500])[number // BAD % 3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bundle", type=Path, help="a judge in place of an untrained one")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=3, help="a client")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--ask", nargs=2, metavar=("URL", "FOLDER"), help="be the clients")
    arguments = parser.parse_args()
    if arguments.ask:
        load(arguments.ask[0], Path(arguments.ask[1]), arguments.clients)
        return
    logging.disable_progress_bar()
    bundle = arguments.bundle and arguments.bundle.absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        parts = open_bundle(bundle) if bundle else parts_here(build().dataset)
        scorer = Scorer(parts, device="cpu", batch=arguments.batch)
        (Path(folder) / "sent").mkdir()
        measure(scorer, Path(folder) / "sent", arguments.clients, arguments.requests, arguments.rounds)
        os.chdir(ROOT)


if __name__ == "__main__":
    main()
