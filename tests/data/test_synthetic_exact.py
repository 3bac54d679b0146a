"""The same bits on every machine: rules that the renderer keeps, and proof on what this machine can pretend to be.

Run as a program, this file draws and prints fingerprints; a test starts it under other vector units.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from data import synthetic
from data.synthetic.exact import GRID
from data.synthetic.faults import AUTHENTICITY, CHANGES, QUALITY, draw_picture
from data.synthetic.render import draw, render
from data.synthetic.scenes import GROUNDS, LIGHTS, STYLES, Group, Scene
from data.synthetic.textures import noise_table
from m3agiqa.files import folder_sha256

ROOT = Path(__file__).parents[2]
# What this file draws, as SHA-256. Whoever changes the looks or the scores of the data set puts in the new ones (a
# failing test names them); where they differ and nothing was changed, rendering depends on the machine again.
PICTURES = "5a9cd3f34dbf7af0601b2289e4b9c7904e12521072423fa235b4beec0271eaf9"
TABLES = "428b413f4f704d3d09b9439f556c3132b85e2c4fe3684e7661dd4610b7706571"
LEVELS = ("DEFAULT", "AVX2", "AVX512")  # of torch's kernels, from the plainest CPU on


def layouts():
    """Twenty pictures: every ground in every light, every style, filter, change and fault of authenticity."""
    groups = (Group(2, "red", "car"), Group(1, "blue", "mushroom"), Group(1, "orange", "tower"))
    for k in range(20):
        ground, light, style = list(GROUNDS)[k % 5], list(LIGHTS)[k % 4], STYLES[k // 5]
        scene = Scene(groups[k % 2 :], "left of", ground, light, style)
        quality = {list(QUALITY)[k % len(QUALITY)]: 0.3 + 0.03 * k}
        authenticity = {name: 0.35 + 0.03 * k for i, name in enumerate(AUTHENTICITY) if k >> i & 1}
        rng = np.random.Generator(np.random.PCG64(k))
        yield draw_picture(scene, quality, (CHANGES[k % len(CHANGES)],), authenticity, rng).layout


def fingerprints(folder):
    """Of the pictures above, before they are rounded to bytes; of a small data set's tables; and of its files."""
    some, seen = list(layouts()), set()
    for threads in (2, 1):
        torch.set_num_threads(threads)
        with torch.inference_mode():  # five at once are enough rays for torch to spread them over threads
            floats = [draw(some[at : at + 5], 64, torch.device("cpu")).numpy() + 0 for at in range(0, len(some), 5)]
        seen.add(hashlib.sha256(np.concatenate(floats).tobytes()).hexdigest())  # + 0: zeros have no sign
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core: no worker processes
    table = synthetic.build(folder, seed=3, prompts=6, size=16, raters=8)
    tables = [table.drop(columns=["sha256", "pixels"]), pd.read_parquet(folder / "truth.parquet")]
    return {
        "level": torch.backends.cpu.get_cpu_capability(),
        "pictures": sorted(seen),
        "tables": hashlib.sha256("".join(map(repr, (table.to_dict("list") for table in tables))).encode()).hexdigest(),
        "files": folder_sha256(folder),
    }


def machines():
    """Settings of programs that make of this machine a plainer one."""
    here = torch.backends.cpu.get_cpu_capability()
    simd = np.show_config(mode="dicts")["SIMD Extensions"].get("found", ())
    plainest = {
        "NPY_DISABLE_CPU_FEATURES": " ".join(simd),
        "OPENBLAS_CORETYPE": "Nehalem",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F,-AVX2_Usable,-FMA_Usable",
    }
    plainer = {
        "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in simd if name.startswith(("AVX512", "X86_V4"))),
        "OPENBLAS_CORETYPE": "Haswell",
    }
    found = LEVELS[: LEVELS.index(here) + 1] if here in LEVELS else ("DEFAULT",)
    return list(zip(found, (plainest, plainer, {}), strict=False))


@pytest.fixture(scope="module")
def files():
    return set()


@pytest.mark.parametrize(("level", "settings"), machines())
def test_same_bits_on_another_machine(level, settings, files, tmp_path):
    # threads that wait asleep: spinning ones take long where others use the cores, too
    ours = {"ATEN_CPU_CAPABILITY": level.lower(), "OMP_WAIT_POLICY": "passive", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, str(tmp_path / "drawn")]
    done = subprocess.run(
        command, env={**os.environ, **settings, **ours}, check=True, capture_output=True, text=True, cwd=ROOT
    )
    found = json.loads(done.stdout)
    files.add(found.pop("files"))
    assert found == {"level": level, "pictures": [PICTURES], "tables": TABLES}
    assert len(files) == 1  # no constant: the PNG files' bytes are those of Pillow's zlib


# Operations of torch on floats that IEEE 754 defines to the last bit, or that choose or move values …
EXACT = {
    "abs", "add", "ceil", "clamp", "clamp_max", "clamp_min", "div", "floor", "maximum", "minimum", "mul", "neg",
    "reciprocal", "round", "rsub", "sub",
    "amax", "amin", "any", "argsort", "eq", "ge", "gt", "le", "lt", "max_pool2d", "min", "ne", "nonzero_numpy", "where",
    "arange", "cat", "contiguous", "copy", "detach", "empty_like", "fill", "full", "gather",
    "index", "index_put", "lift_fresh", "meshgrid", "narrow", "new_zeros", "numpy_T", "pad", "permute", "reshape",
    "resolve_conj", "resolve_neg", "select", "slice", "stack", "to", "transpose", "unbind", "unsqueeze", "view",
    "zeros", "zeros_like",
}  # fmt: skip
# … and those that are exact on integers alone
ON_INTEGERS = {"and", "floor_divide", "iand", "or", "remainder", "rshift", "sum", "xor"}


class Watch(TorchDispatchMode):
    """Collect the operations that are not exact."""

    def __init__(self):
        super().__init__()
        self.broken = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__.strip("_")
        floats = any(isinstance(value, torch.Tensor) and value.is_floating_point() for value in args)
        if name not in EXACT and (floats or name not in ON_INTEGERS):
            self.broken.add(name)
        return func(*args, **(kwargs or {}))


def test_pixels_come_from_exact_operations():
    with Watch() as watch:
        render(list(layouts()), 32)
    assert watch.broken == set()


@pytest.mark.parametrize(
    "values", [torch.ones(3).exp, torch.ones(3).sum, lambda: torch.ones(3).lerp(torch.ones(3), 0.5)]
)
def test_the_watch_finds_inexact_operations(values):
    with Watch() as watch:
        values()
    assert watch.broken


@pytest.mark.parametrize("name", ["cloud", "grain"])
def test_noise_is_far_from_where_its_rounding_turns(name):
    """The tables come from a Fourier transform; what it leaves in doubt is some 1e-15."""
    steps = noise_table(name) * GRID
    assert np.abs(steps - np.floor(steps) - 0.5).min() / GRID > 1e-13


if __name__ == "__main__":
    print(json.dumps(fingerprints(Path(sys.argv[1]))))
