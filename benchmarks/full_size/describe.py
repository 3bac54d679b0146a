"""Generation through `LocalMLLM.answers`: a step's time beside that of reading the weights once."""

from functools import partial
from typing import Any

import pandas as pd
import torch
from PIL import Image

from benchmarks.full_size.model import Ceilings, gpu_seconds, largest_batches, peak, peak_of
from m3agiqa.mllm import gpu
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.readings import Inputs

BATCH = 32
SHORT, LONG = 2, 130  # new tokens; the difference leaves the images and the prompt out


def measure(student: LocalMLLM, table: pd.DataFrame, ceilings: Ceilings) -> None:
    network: Any = student.model
    read = sum(weight.nbytes for name, weight in network.named_parameters() if "llm." in name)
    read -= network.get_input_embeddings().weight.nbytes  # of these a step takes a row
    floor = read / ceilings.bytes
    settings = network.generation_config
    questions = _questions(student, table.iloc[:BATCH])

    def seconds(new: int) -> float:  # random weights do not end all 32 earlier; a step below the floor would tell
        return gpu_seconds(lambda: student.answers(questions, new))

    print(f"a step reads {read / 1e9:.1f} GB of weights: {1e3 * floor:.2f} ms", flush=True)
    for kind in ("as it comes", "static cache, compiled, CUDA graph"):
        if kind != "as it comes":
            student.graph = gpu.StepGraph(network)
        first = seconds(LONG)
        torch.cuda.reset_peak_memory_stats()
        short, long = (min(seconds(new) for _ in range(3)) for new in (SHORT, LONG))
        step = (long - short) / (LONG - SHORT)
        print(
            f"generation, {kind}: batch {BATCH}, {1e3 * step:.2f} ms a step, {step / floor:.2f} x the floor; "
            f"prefill {short:.1f} s, first call {first:.0f} s, {peak():.0f} GB at most",
            flush=True,
        )
    student.graph, settings.disable_compile = None, True  # memory is the same, and each batch would be compiled for
    peaks = {}
    for batch in (BATCH // 2, BATCH):
        some = _questions(student, table.iloc[:batch])
        peaks[batch] = peak_of(partial(student.answers, some, LONG))
    print(f"generation, memory: {largest_batches(peaks)}", flush=True)


def _questions(student: LocalMLLM, rows: pd.DataFrame) -> list[Inputs]:
    images = [Image.open(path).convert("RGB") for path in rows["path"]]
    return student.questions(images, [conversation("quality", prompt) for prompt in rows["prompt"]], LONG)
