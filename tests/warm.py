"""Programs as forks of one process that has imported the large libraries once: torch alone takes seconds to import.

`programs()` is a folder with a `python` (for `python -m …`) and a `dvc`, to be put first on a PATH. What a fork runs is
that folder's code, imported anew, with the working folder, environment and streams of the one who asks. Three things
are not as with a program: signals to its process group do not reach it, PYTHON… variables come too late, and what it
leaves open at its end is not written out.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from select import select
from tempfile import TemporaryDirectory

LIBRARIES = ("torch", "transformers.trainer", "peft", "accelerate", "safetensors.torch", "xlstm", "pandas", "tenacity")
LIBRARIES += ("pyarrow.dataset", "pyarrow.pandas_compat", "pyarrow.parquet", "scipy.stats", "sklearn.compose")
LIBRARIES += ("sklearn.linear_model", "pydantic.main", "ruamel.yaml", "PIL.PngImagePlugin", "PIL.JpegImagePlugin")
LIBRARIES += ("google.ai.generativelanguage_v1beta",)
MODELS = ("smolvlm.modeling_smolvlm", "smolvlm.processing_smolvlm", "llama.modeling_llama")
MODELS += ("idefics3.processing_idefics3", "minicpmv4_6.video_processing_minicpmv4_6", "mamba2.configuration_mamba2")
MODELS += ("idefics2.modeling_idefics2", "qwen3_vl.video_processing_qwen3_vl")
DVC = ("dvc.cli.parser", "dvc.cachemgr", "dvc.compare", "dvc.data_cloud", "dvc.lock", "dvc.rwlock", "dvc_render")
DVC += ("dvc.repo.index", "dvc.repo.open_repo", "dvc.repo.plots", "dvc.repo.reproduce", "dvc_data.hashfile.db.local")
NAMES = ("python", "dvc")
# Starts in hundredths of a second: without site-packages.
ASKING = """#!{python} -IS
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({place!r})
    request = json.dumps([{name!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(asked, [len(request).to_bytes(8)], [0, 1, 2])
    asked.sendall(request)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: asked.sendall(bytes([number])))
    ended = asked.recv(2)
if not ended:
    sys.exit("the process that forks is gone")
code = int.from_bytes(ended, signed=True)
if code < 0:
    if -code in (signal.SIGINT, signal.SIGTERM):
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@contextmanager
def programs() -> Iterator[Path]:
    """Where they are, for as long as this lasts."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with TemporaryDirectory(prefix="warm-") as name:  # a socket's path may not be long
        folder, place = Path(name), str(Path(name) / "socket")
        for program in NAMES:
            (folder / program).write_text(ASKING.format(python=sys.executable, place=place, name=program))
            (folder / program).chmod(0o755)
        with subprocess.Popen([sys.executable, __file__, place], **pipes) as server:  # stdin closed is its end
            assert server.stdout.readline() == b"ready\n"
            yield folder


def _serve(place: str) -> Callable[[], None] | None:
    """Fork on each request; returns in the fork with what it is to do, and here with nothing, at the end."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of Pythons to come
        for name in (*LIBRARIES, *(f"transformers.models.{name}" for name in MODELS), *DVC):
            import_module(name)
    import_module("parsed").remember(Path(place).parent)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        print("ready", flush=True)
        running = set()
        while sys.stdin not in select([listening, sys.stdin], [], [])[0]:
            asked = listening.accept()[0]
            running -= {child for child in running if os.waitpid(child, os.WNOHANG)[0]}
            if child := os.fork():
                running.add(child)
                asked.close()
            else:
                listening.close()
                return _forked(asked)
    return None


def _forked(asked: socket.socket) -> Callable[[], None]:
    """The program, in a child of this process, which tells how it ended."""
    size, streams, *_ = socket.recv_fds(asked, 8, 3)
    request = b""
    while len(request) < int.from_bytes(size) and (part := asked.recv(2**16)):
        request += part
    if child := os.fork():
        code = _ended(child, asked)
        with suppress(BrokenPipeError):
            asked.sendall(code.to_bytes(2, signed=True))
        os._exit(0)
    os.setpgid(0, 0)
    asked.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    name, arguments, folder, environment = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have switched it off for these tests
    sys.executable = str(Path(sys.argv[1]).with_name("python"))
    processes = sys.modules["torch.multiprocessing"]
    processes.spawn = partial(processes.start_processes, start_method="fork")
    return {"python": _python, "dvc": _dvc}[name](arguments, folder)


def _ended(child: int, asked: socket.socket) -> int:
    """How it ended. Where the one who asks is killed, it is killed, and so, in their turn, are all whom it asks for."""
    os.setpgid(child, child)  # as it does itself: whoever comes first
    ended = os.pidfd_open(child)
    while ended not in select([asked, ended], [], [])[0]:
        number = asked.recv(1)
        os.kill(child, number[0]) if number else os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _python(arguments: list[str], folder: str) -> Callable[[], None]:
    flag, what, *others = (argument for argument in arguments if argument != "-u")
    sys.path[:1] = [folder, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = [what, *others]
    if flag == "-m":
        return lambda: runpy.run_module(what, run_name="__main__", alter_sys=True)
    assert flag == "-c", arguments
    sys.argv[0] = flag
    return lambda: exec(compile(what, "<string>", "exec"), sys.modules["__main__"].__dict__)  # noqa: S102 (a test's)


def _dvc(arguments: list[str], _: str) -> Callable[[], None]:
    sys.path[0] = str(Path(sys.executable).parent)
    sys.argv = ["dvc", *arguments]
    return lambda: sys.exit(sys.modules["dvc.cli"].main(arguments))


def _run(program: Callable[[], None], ended: list[int]) -> None:
    """Put into `ended` what a program ends with, where it does so of its own accord."""
    try:
        program()
    except SystemExit as end:
        if isinstance(end.code, int | None):
            ended.append(end.code or 0)
        raise
    ended.append(0)


def _leave(ended: list[int]) -> None:
    """Spare Python to take hundreds of modules apart, one by one, which takes most of a second."""
    if ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended[0])


if __name__ == "__main__":
    how: list[int] = []
    atexit.register(_leave, how)  # before all others, and so the last of them to run
    if asked_for := _serve(sys.argv[1]):
        _run(asked_for, how)
