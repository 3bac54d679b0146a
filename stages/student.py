"""The local MLLM of the settings: as it came, or as the distill stage left it."""

from pathlib import Path

from analyzers import adapters, chat, fitting, minicpm_llama3_v_2_5, mllm
from analyzers.mllm import LocalMLLM
from stages import paths
from stages.device import device
from stages.settings import Settings

CODE = (adapters, chat, fitting, minicpm_llama3_v_2_5, mllm)  # what its answers come from, beside its weights


def load_model(settings: Settings, adapter: Path | None = None) -> LocalMLLM:
    """The profile's MLLM with this adapter, or with the one that the profile starts from, if it names one."""
    profile = settings.mllms[settings.mllm]
    if adapter is None and profile.adapter is not None:
        adapter = adapters.fetch(profile.adapter, profile.adapter_revision)
    return LocalMLLM.load(
        profile.model,
        revision=profile.revision,
        dtype=profile.dtype,
        max_length=profile.max_length,
        device=device(settings),
        adapter=adapter,
        fewer_views=profile.fewer_views,
    )


def load_student(settings: Settings) -> LocalMLLM:
    """The profile's MLLM with the adapter that distill trained; where it trained none, with the profile's own."""
    adapter = paths.adapter(settings.dataset, settings.aspect)
    return load_model(settings, adapter if (adapter / paths.ADAPTER_FILE).exists() else None)
