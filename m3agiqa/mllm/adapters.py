"""LoRA adapters: made new, fetched from the hub, laid on a model whole or not at all, trained further.

Several may lie on one model, each under a name, of which one acts at a time: a layer adds to its output what the acting
adapter says, and nothing else of the model changes. That holds for plain LoRA alone.
"""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from m3agiqa.errors import InputError
from m3agiqa.files import atomic, sha256, write_json
from m3agiqa.json_text import parse_json
from m3agiqa.mllm.profile import Lora, Profile
from m3agiqa.weights import check_tensors

SETTINGS, WEIGHTS = FILES = ("adapter_config.json", "adapter_model.safetensors")  # as peft calls them
OWN = {  # settings that say which matrices there are and what for, and nothing of the model under them
    *("peft_version", "base_model_name_or_path", "revision", "inference_mode", "task_type", "auto_mapping"),
    *("r", "lora_alpha", "lora_dropout", "use_rslora", "rank_pattern", "alpha_pattern"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
}


def is_there(folder: Path) -> bool:
    """Whether the folder holds an adapter; where distillation is switched off, it holds none."""
    return (folder / SETTINGS).exists()


def fetch(adapter: str, revision: str | None) -> Path:
    """The folder of an adapter: `adapter` itself, or what the hub holds under this id at this `revision` (a commit).

    Raises:
        InputError: a hub id without a revision, or not to be had.
    """
    if Path(adapter).is_dir():
        return Path(adapter)
    if revision is None:
        raise InputError(f"adapter {adapter} is no folder, and one on the hub needs a revision (a commit)")
    try:
        files = [hf_hub_download(adapter, name, revision=revision) for name in FILES]
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"adapter {adapter} at {revision} cannot be had: {' '.join(str(error).split())}") from error
    return Path(files[0]).parent


def chosen(trained: Path, profile: Profile) -> Path | None:
    """The adapter to use the profile's MLLM with: the `trained` one if it is there, else the profile's own, if any."""
    return trained if is_there(trained) else own(profile)


def own(profile: Profile) -> Path | None:
    """The adapter that the profile starts from, if it names one."""
    return fetch(profile.adapter, profile.adapter_revision) if profile.adapter is not None else None


def hashes(folder: Path) -> list[str]:
    """SHA-256 of the adapter's two files.

    Raises:
        InputError: one of them is not there.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} holds no adapter: {' and '.join(missing)} missing")
    return [sha256(folder / name) for name in FILES]


def is_plain(folder: Path) -> bool:
    """Whether the adapter in `folder` is LoRA matrices and no more, so that it may share a model with others.

    One that holds whole modules or biases, or changes weights as it is laid on (PiSSA, for one), is not; nor is one
    with settings that this version of peft does not know.
    """
    try:
        settings = parse_json((folder / SETTINGS).read_bytes())
    except (OSError, ValueError):
        return False  # why it cannot be used is said where it is loaded
    if not isinstance(settings, dict):
        return False
    plain = LoraConfig().to_dict()
    return all(name in OWN or (settings[name] or None) == (plain.get(name, ...) or None) for name in settings)


def act(network: nn.Module, name: str | None) -> None:
    """Of the adapters on the network let this one act, and no other; none, where there is none of this name.

    Where no name is given, whichever acts goes on.
    """
    if name is None:
        return
    for layer in network.modules():
        if isinstance(layer, BaseTunerLayer) and layer.active_adapters != [name]:
            layer.set_adapter(name, inference_mode=True)


def lay_on(network: PreTrainedModel | PeftModel, folder: Path, name: str = "default") -> PeftModel:
    """`network` with the adapter on it, frozen, under that name, beside those of other names that lie on it already.

    Raises:
        InputError: the adapter belongs to another model (a weight is left over, missing or of another shape), or a
            weight is not finite.
    """
    if isinstance(network, PeftModel) and name in network.peft_config:  # peft would keep the settings of the first
        raise ValueError(f"two adapters called {name} on one model")
    try:
        with _peft_without_noise():
            warnings.filterwarnings("ignore", message="Found missing adapter keys")  # they are refused below
            if isinstance(network, PeftModel):
                model = network
                model.load_adapter(str(folder), name, torch_device=str(network.device))
            else:
                model = PeftModel.from_pretrained(network, str(folder), name)
        with safe_open(folder / WEIGHTS, "pt") as file:
            given = set(file.keys())
            check_tensors(((name, file.get_tensor(name)) for name in sorted(given)), f"adapter {folder}")
    except KeyError as error:
        raise InputError(f"adapter {folder} is for another model: it lacks the weight {error}") from error
    except (ValueError, RuntimeError, TypeError, SafetensorError) as error:
        raise InputError(f"adapter {folder} cannot be used: {' '.join(str(error).split())[:400]}") from error
    wrong = given ^ set(get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False))
    if wrong:
        raise InputError(
            f"adapter {folder} is for another model: {len(given & wrong)} weights left over, {len(wrong - given)} "
            f"missing, such as {min(wrong)}"
        )
    return model


def make(network: PreTrainedModel, name: str, lora: Lora, *, seed: int) -> PeftModel:
    """The model `name`, frozen, with new LoRA matrices; the `modules_to_save` are trained in full.

    Raises:
        InputError: a target or a module to save is not in the model.
    """
    names = [module for module, _ in network.named_modules()]
    for ending in lora.modules_to_save:
        if not any(f".{module}".endswith(f".{ending}") for module in names):
            raise InputError(f"modules_to_save: {name} has no module {ending}")
    settings = LoraConfig(
        r=lora.r,
        lora_alpha=cast("int", lora.alpha),  # a scale that peft divides by r: a fraction will do
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        modules_to_save=lora.modules_to_save or None,
    )
    with _peft_without_noise(), torch.random.fork_rng(devices=[]):  # peft draws on the CPU
        torch.default_generator.manual_seed(seed)
        try:
            model = get_peft_model(network, settings)
        except ValueError as error:  # peft names the targets that it did not find
            raise InputError(f"LoRA targets {lora.targets} of {name}: {' '.join(str(error).split())}") from error
    model.peft_config["default"].base_model_name_or_path = name
    return model


def go_on(model: PeftModel, lora: Lora) -> None:
    """Make the adapter that lies on `model` trainable.

    Raises:
        InputError: it was made with other settings than these.
    """
    made = cast("LoraConfig", model.peft_config["default"])
    has: dict[str, Any] = {"r": made.r, "alpha": made.lora_alpha, "dropout": made.lora_dropout}
    has["modules_to_save"] = sorted(made.modules_to_save or [])
    given = {"r": lora.r, "alpha": lora.alpha, "dropout": lora.dropout, "modules_to_save": sorted(lora.modules_to_save)}
    if has != given:
        raise InputError(f"the adapter to start from has {has}; set lora to the same (given: {given})")
    model.set_adapter("default")


def save(model: PeftModel, out: Path, weights: Path | None = None) -> None:
    """Write the adapter's two files to the folder `out`: its own `weights` as they are, or those of that file."""
    with atomic(out / WEIGHTS) as temporary:
        if weights is None:
            state = get_peft_model_state_dict(model, save_embedding_layers=False)
            save_file({name: value.contiguous() for name, value in state.items()}, temporary, metadata={"format": "pt"})
        else:
            shutil.copyfile(weights, temporary)
    settings = model.peft_config["default"].to_dict()
    sets = {key: sorted(value) for key, value in settings.items() if isinstance(value, set)}  # a set has no order
    write_json(out / SETTINGS, settings | sets | {"inference_mode": True})


@contextmanager
def _peft_without_noise() -> Iterator[None]:
    """Silence peft where it asks for a property that transformers now warns about: both are pinned, and it works."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield
