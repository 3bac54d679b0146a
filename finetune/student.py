"""The local MLLM of the settings, as it came or as the distill stage left it, and how its work is put together."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from m3agiqa.device import device
from m3agiqa.errors import InputError
from m3agiqa.images import image_size
from m3agiqa.mllm import adapters
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.fitting import TooLongError
from m3agiqa.mllm.model import LocalMLLM
from pipeline import paths
from pipeline.settings import Settings


@contextmanager
def naming(files: Sequence[Path]) -> Iterator[None]:
    """Say of which of the images, given in this order, a conversation does not fit."""
    try:
        yield
    except TooLongError as error:
        raise InputError(f"{files[error.row]}: {error}") from None


def load_student(settings: Settings) -> LocalMLLM:
    """With the adapter that distill trained; where it trained none, with the profile's own."""
    profile = settings.mllms[settings.mllm]
    adapter = adapters.chosen(paths.adapter(settings.dataset, settings.aspect), profile)
    return LocalMLLM.load(profile, device=device(settings.runtime.device), adapter=adapter)


def load_untaught(settings: Settings) -> LocalMLLM:
    """Before distillation: with the adapter that the profile starts from, if it names one."""
    profile = settings.mllms[settings.mllm]
    return LocalMLLM.load(profile, device=device(settings.runtime.device), adapter=adapters.own(profile))


def longest_first(student: LocalMLLM, samples: pd.DataFrame, aspect: str, raw: Path) -> pd.DataFrame:
    """The rows by the length of what the student is given: what stands together then has little padding.

    That is the images below `raw` and the question about their `prompt`; with a column `description`, both rounds.
    """
    columns = [name for name in ("prompt", "description") if name in samples]
    chats = [conversation(aspect, *texts) for texts in samples[columns].itertuples(index=False, name=None)]
    lengths = np.array(student.fitter.lengths([image_size(raw / path) for path in samples["path"]], chats))
    return samples.iloc[np.argsort(-lengths, kind="stable")]
