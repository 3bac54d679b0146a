"""A real headless browser for tests, driven through its own DevTools protocol over a pair of pipes: no port, no driver.

`with Browser() as page:` gives one tab. Tests that need it call `pytest.skip` where none is installed: use the
fixture of the test file, which asks `find()`.
"""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
SECONDS = 30  # for any answer; the machine may be busy


def find() -> str | None:
    """The program, where one is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def _high(descriptor: int) -> int:
    """The same, numbered 10 or more: 3 and 4 are to become the browser's."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


class Browser:
    """One tab. `problems` collects console errors, exceptions, and what the page asked the network for."""

    def __enter__(self) -> Self:
        self.profile = Path(tempfile.mkdtemp(prefix="browser-"))
        read_in, self.write = map(_high, os.pipe())
        self.read, write_out = map(_high, os.pipe())
        flags = [*FLAGS, f"--user-data-dir={self.profile}", "about:blank"]
        redirect = f'exec "$0" "$@" 3<&{read_in} 4>&{write_out}'  # the descriptors that the protocol asks for
        self.process = subprocess.Popen(
            ["bash", "-c", redirect, find(), *flags],
            pass_fds=(read_in, write_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_in)
        os.close(write_out)
        self.numbers, self.rest, self.session = itertools.count(1), b"", None
        self.problems: list[str] = []
        self.loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)
        os.close(self.read)
        os.close(self.write)
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call the protocol's `method` and return its result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        os.write(
            self.write, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0"
        )
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def open(self, url: str, width: int = 1200, height: int = 900) -> None:
        """Load `url` in a window of this size and wait until everything on it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.loaded = False
        self.call("Page.navigate", url=url)
        while not self.loaded:
            self._next()

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", "exception"))
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press and release a key."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def _next(self) -> dict[str, Any]:
        """The next message; events are noted on the way."""
        end = time.monotonic() + SECONDS
        while b"\0" not in self.rest:
            if not select.select([self.read], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the browser said nothing for {SECONDS} s")
            if not (chunk := os.read(self.read, 2**20)):
                raise RuntimeError("the browser ended")
            self.rest += chunk
        text, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(text)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, event: str | None, params: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self.loaded = True
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("warning", "error"):
            self.problems.append(params["entry"]["text"])
        elif event == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"]["text"])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("warning", "error", "assert"):
            self.problems.append(f"console: {params['args']}")
        elif event == "Network.requestWillBeSent" and not params["request"]["url"].startswith(("data:", "file:")):
            self.problems.append(f"asked the network for {params['request']['url']}")
