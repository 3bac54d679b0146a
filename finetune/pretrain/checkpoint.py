"""An embedded model as a folder that the Auto classes read."""

import copy
from pathlib import Path

from transformers import GenerationConfig, PreTrainedModel, ProcessorMixin

from finetune.pretrain.tokenizer import SPECIAL_IDS

SHARD = "40MB"  # no file of the repository is large


def greedy() -> GenerationConfig:
    """How an embedded model writes, unless told otherwise."""
    return GenerationConfig(**SPECIAL_IDS, do_sample=False, max_new_tokens=96)


def save(model: PreTrainedModel, processor: ProcessorMixin, folder: Path | str) -> None:
    """Write everything that the Auto classes need, the weights in bfloat16."""
    copy.deepcopy(model).bfloat16().save_pretrained(folder, max_shard_size=SHARD)
    processor.save_pretrained(folder)
