"""benchmarks/full_size in small, as it runs where there is no GPU: every part, to its last line."""

import re

import pytest
import torch

from benchmarks.full_size.__main__ import main

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="measures in full size where there is a GPU")
LORA = ["LoRA step, {}: batch 2, ", "LoRA step, {}: batch 4, ", "LoRA step, {}, memory: "]


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize(
    ("part", "lines"),
    [
        (
            "features",
            [
                "forward alone, as it comes: batch 4, ",
                "forward alone, compiled: batch 4, ",
                "features, decoding and Parquet included: batch 4, ",
                "the network worked ",
                "features, memory: ",
            ],
        ),
        (
            "describe",
            [
                "a step reads ",
                "generation, as it comes: batch 4, ",
                "generation, static cache, compiled, CUDA graph: batch 4, ",
                "generation, memory: ",
            ],
        ),
        ("lora", [line.format(kind) for kind in ("as it comes", "compiled") for line in LORA]),
        (
            "predict",
            [
                "predict: batch 4, ",
                "predict --fast: batch 4, ",
                "describe: batch 4, ",
                "features: batch 4, ",
                "predict: ",
            ],
        ),
        ("lora_twice", [line.format("compiled, activations computed twice") for line in LORA]),
    ],
)
def test_a_part_is_measured_from_its_ceilings_to_its_memory(part, lines, uneven, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["full_size", part, *["uneven"] * uneven])
    main()
    where, ceilings, sizes, *measured = capsys.readouterr().out.splitlines()
    assert where.startswith("a CPU, so in small")
    assert [float(number) > 0 for number in re.findall(r"([\d.e-]+) T[FB]", ceilings)] == [True, True]
    assert re.match(rf"images of {'many sizes' if uneven else '40 px'}, \d+ tokens on average; ", sizes)
    assert len(measured) == len(lines)
    for line, start in zip(measured, lines, strict=True):
        assert line.startswith(start)
        if "batch" in line:
            assert part == "predict" or re.search(r"\d% of the ceiling|\d x the floor", line), line
            assert float(re.search(r"([\d.]+) ms an? ", line)[1]) > 0
