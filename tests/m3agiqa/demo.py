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


@contextmanager
def shown(bundle: Path, folder: Path) -> Iterator[str]:
    """The page's address, once somebody listens there; uploads and a log go into `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "m3agiqa", "demo", "--bundle", str(bundle), "--port", str(port)]
    environment = os.environ | {"GRADIO_TEMP_DIR": str(folder / "uploads")}
    with (folder / "log").open("w") as log, subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log) as server:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0 or server.poll() is not None:
                        break
                time.sleep(0.1)
            assert server.poll() is None, (folder / "log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
