"""A vision-language model and its processor, from a folder or the hub, checked before anything is computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
    PreTrainedModel,
    ProcessorMixin,
)

import m3agiqa.mllm.minicpm_llama3_v_2_5
import m3agiqa.mllm.video_processors  # noqa: F401  both register with the Auto classes what is missing there
from m3agiqa.errors import InputError
from m3agiqa.files import folder_sha256
from m3agiqa.mllm.profile import Profile
from m3agiqa.weights import check_finite, check_loaded

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")  # of a model's folder: what loading may read


class Loaded(NamedTuple):
    """What a profile names."""

    network: PreTrainedModel
    processor: ProcessorMixin
    source: list[str]  # what names the weights for good


def load(profile: Profile) -> Loaded:
    """The model and the processor of `profile`, on the CPU, set to generate greedily.

    Raises:
        InputError: not there, not usable, not whole, or the profile does not fit it.
    """
    model, source = profile.model, _source(profile.model, profile.revision)
    processor = load_processor(profile)
    with _told_in_one_line(model):
        loaded: Any = AutoModelForImageTextToText.from_pretrained(  # with the info, whatever its type says
            model,
            revision=profile.revision,
            dtype=DTYPES[profile.dtype],
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # they are refused by name
            output_loading_info=True,
            trust_remote_code=False,
        )
    network, info = loaded
    check_loaded(info, model)
    check_finite(network, model)
    _check(network, processor, model, profile.max_length)
    end = network.generation_config.eos_token_id or processor.tokenizer.eos_token_id
    # Greedy, with none of the sampling settings and penalties that a repository may recommend.
    network.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=end, pad_token_id=processor.tokenizer.pad_token_id
    )
    return Loaded(network, processor, source)


def load_processor(profile: Profile) -> Any:
    """Its processor alone, which tells how many tokens a text or an image takes.

    Raises:
        InputError: not there, or not usable.
    """
    with _told_in_one_line(profile.model):
        # First, because a tokenizer passes over a configuration that is refused.
        AutoConfig.from_pretrained(profile.model, revision=profile.revision, trust_remote_code=False)
        processor = AutoProcessor.from_pretrained(profile.model, revision=profile.revision, trust_remote_code=False)
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return processor


@contextmanager
def _told_in_one_line(model: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{model} cannot be loaded: {' '.join(str(error).split())}") from error


def _source(model: str, revision: str | None) -> list[str]:
    """What names the weights for good: a folder's contents, or a hub id with its revision."""
    if Path(model).is_dir():
        return [folder_sha256(model, FILES)]
    if revision is None:
        raise InputError(f"{model} is no folder, and a hub model needs a revision (a commit) to stay the same")
    return [model, revision]


def _check(network: Any, processor: Any, name: str, max_length: int) -> None:
    """Refuse a model that LocalMLLM cannot drive."""
    if getattr(processor, "chat_template", None) is None:
        raise InputError(f"{name} has no chat template")
    if network.base_model is network or network.get_output_embeddings() is None:
        raise InputError(f"{name} ({type(network).__name__}) has no base model under a vocabulary head")
    positions = getattr(network.config.get_text_config(), "max_position_embeddings", max_length)
    if max_length > positions:
        raise InputError(f"max_length {max_length} is more than the {positions} positions of {name}")
