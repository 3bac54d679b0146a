"""The local MLLM of the settings: as it came, or as the distill stage left it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from m3agiqa.device import device
from m3agiqa.errors import InputError
from m3agiqa.mllm import adapters
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
