"""The local MLLM of the settings: as it came, or as the distill stage left it."""

from pathlib import Path

from analyzers.mllm import LocalMLLM
from stages import paths
from stages.device import device
from stages.settings import Settings

ADAPTER_FILE = "adapter_config.json"  # peft's; absent where distillation is switched off


def load_model(settings: Settings, adapter: Path | None = None) -> LocalMLLM:
    """The profile's MLLM, with an adapter if one is given."""
    profile = settings.mllms[settings.mllm]
    return LocalMLLM.load(
        profile.model,
        revision=profile.revision,
        dtype=profile.dtype,
        max_length=profile.max_length,
        device=device(settings),
        adapter=adapter,
    )


def load_student(settings: Settings) -> LocalMLLM:
    """The profile's MLLM with the adapter that distill trained, where it trained one."""
    adapter = paths.adapter(settings.dataset, settings.aspect)
    return load_model(settings, adapter if (adapter / ADAPTER_FILE).exists() else None)
