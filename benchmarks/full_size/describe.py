"""Generation through `LocalMLLM.answers`: a step's time beside that of reading the weights once."""

from functools import partial
from typing import Any

import pandas as pd
from PIL import Image

from benchmarks.full_size import machine
from benchmarks.full_size.machine import ON_GPU, Ceilings
from m3agiqa.mllm import gpu
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.readings import Inputs

BATCH = 32 if ON_GPU else 4
SHORT, LONG = (2, 130) if ON_GPU else (2, 34)  # new tokens; the difference leaves the images and the prompt out


def measure(student: LocalMLLM, table: pd.DataFrame, ceilings: Ceilings) -> None:
    network: Any = student.model
    read = sum(weight.nbytes for name, weight in network.named_parameters() if "llm." in name)
    read -= network.get_input_embeddings().weight.nbytes  # of these a step takes a row
    floor = read / ceilings.bytes
    settings = network.generation_config
    questions = _questions(student, table.iloc[:BATCH])

    def seconds(new: int) -> float:  # random weights do not end all of them earlier; a step below the floor would tell
        return machine.seconds(lambda: student.answers(questions, new))

    print(f"a step reads {read / 1e9:.3g} GB of weights: {1e3 * floor:.3g} ms", flush=True)
    for kind in ("as it comes", "static cache, compiled, CUDA graph"):
        if kind != "as it comes":
            student.graph = gpu.StepGraph(network)
        first = seconds(LONG)
        machine.forget_peak()
        short, long = (min(seconds(new) for _ in range(3)) for new in (SHORT, LONG))
        step = (long - short) / (LONG - SHORT)
        print(
            f"generation, {kind}: batch {BATCH}, {1e3 * step:.2f} ms a step, {step / floor:.2f} x the floor; "
            f"prefill {short:.1f} s, first call {first:.0f} s, {machine.at_most()}",
            flush=True,
        )
    student.graph, settings.disable_compile = None, True  # memory is the same, and each batch would be compiled for
    peaks = {}
    for batch in (BATCH // 2, BATCH):
        some = _questions(student, table.iloc[:batch])
        peaks[batch] = machine.peak_of(partial(student.answers, some, LONG))
    print(f"generation, memory: {machine.largest_batches(peaks)}", flush=True)


def _questions(student: LocalMLLM, rows: pd.DataFrame) -> list[Inputs]:
    images = [Image.open(path).convert("RGB") for path in rows["path"]]
    return student.questions(images, [conversation("quality", prompt) for prompt in rows["prompt"]], LONG)
