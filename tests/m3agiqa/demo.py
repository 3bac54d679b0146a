"""The demo's page, served by the command in a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds, on a machine that has other work


@contextmanager
def shown(bundle: Path, folder: Path) -> Iterator[str]:
    """The page's address, once somebody listens there; uploads and a log go into `folder`."""
    with socket.socket() as held, (folder / "log").open("w") as log:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # for the demo, while nobody else is given the port
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        command = [sys.executable, "-m", "m3agiqa", "demo", "--bundle", str(bundle), "--port", str(port)]
        environment = os.environ | {"GRADIO_TEMP_DIR": str(folder / "uploads")}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log) as server:
            try:
                late = time.monotonic() + PATIENCE
                while not _listens(port):
                    assert server.poll() is None, (folder / "log").read_text()
                    assert time.monotonic() < late, "nobody listens"
                    time.sleep(0.1)
                yield f"http://127.0.0.1:{port}"
            finally:
                server.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
