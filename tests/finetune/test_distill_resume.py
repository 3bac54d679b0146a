"""A distillation is killed, stopped and begun again, and ends in the same bytes."""

import signal
import subprocess
from pathlib import Path

import pytest

from m3agiqa.errors import InputError
from m3agiqa.mllm import adapters
from tests.distilled import FILES, STEPS, KillAt, run, same, student

ROOT = Path(__file__).parents[2]


def test_a_run_killed_by_sigkill_goes_on(model, whole, programs, tmp_path):
    folder, curve = whole
    code = (
        "from pathlib import Path; from tests.distilled import KillAt, run; "
        f"run(Path({str(model)!r}), Path({str(tmp_path)!r}), progress=KillAt(5, 'kill'))"
    )
    dead = subprocess.run([programs / "python", "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    assert [path.name for path in (tmp_path / "checkpoints").glob("checkpoint-*")] == ["checkpoint-4"]
    assert not (tmp_path / "adapter").exists()
    steps = []
    resumed = run(model, tmp_path, progress=lambda left, **_: steps.extend(left) or iter(left))
    assert steps == list(range(4, STEPS))
    assert same(tmp_path, folder)
    assert resumed.equals(curve)


@pytest.mark.parametrize("stops", [(1,), (3, 4), (7, 8)])
def test_a_run_stopped_anywhere_goes_on(model, whole, tmp_path, stops):
    folder, curve = whole
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            run(model, tmp_path, progress=KillAt(stop, "stop"))
    assert run(model, tmp_path).equals(curve)
    assert same(tmp_path, folder)


@pytest.mark.parametrize("left", ["nothing but a folder", "everything but the marker"])
def test_a_half_written_checkpoint_is_not_used(model, whole, tmp_path, left):
    folder, curve = whole
    with pytest.raises(KeyboardInterrupt):
        run(model, tmp_path, progress=KillAt(6, "stop"))
    (newest,) = (tmp_path / "checkpoints").glob("checkpoint-*")
    (newest / "complete").unlink()
    if left == "nothing but a folder":
        for path in newest.iterdir():
            path.unlink()
    steps = []
    resumed = run(model, tmp_path, progress=lambda todo, **_: steps.extend(todo) or iter(todo))
    assert steps == list(range(STEPS))
    assert same(tmp_path, folder)
    assert resumed.equals(curve)


def test_a_finished_run_is_not_trained_again(model, whole):
    folder, curve = whole
    before = [(folder / "adapter" / name).read_bytes() for name in FILES]
    steps = []
    assert run(model, folder, progress=lambda left, **_: steps.extend(left) or iter(left)).equals(curve)
    assert not steps
    assert before == [(folder / "adapter" / name).read_bytes() for name in FILES]


def test_an_adapter_is_written_whole_or_not_at_all(model, tmp_path, monkeypatch):
    mllm = student(model)
    monkeypatch.setattr(adapters, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        adapters.save(mllm.model, tmp_path / "adapter")
    with pytest.raises(InputError, match=r"adapter_config.json missing"):
        student(model, adapter=tmp_path / "adapter")
