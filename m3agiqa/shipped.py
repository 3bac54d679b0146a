"""What comes with m3agiqa: the model `small`, and a judge made of it, ready for photographs and generated images.

They lie in models/ inside the installed package, or, in a clone, in its models/ beside the package. A bundle of a model
that ships does not hold a copy of it: it is found here by its name, and refused if it is not the one that was meant.
"""

from pathlib import Path

from m3agiqa.errors import InputError
from m3agiqa.files import folder_sha256
from m3agiqa.mllm.loading import FILES

MODELS = ("small",)
JUDGE = "judge"
PLACES = (Path(__file__).parent / "models", Path(__file__).parents[1] / "models")
# What the judge lacks, and how to get it.
HOW_TO_GET = {
    "quality": "make judge trains one in a clone of the project (docs/sharing.md there)",
    "correspondence": "it needs a model that reads images and text together; "
    "the project's docs/models.md says how to get one, and make judge packs it with the others",
    "authenticity": "its ratings may be used non-commercially only, so it is not installed; "
    "in a clone: --bundle models/judge-noncommercial",
}


def judge() -> Path:
    """The bundle that scores where no other is named.

    Raises:
        InputError: it is not here.
    """
    found = _find(JUDGE)
    if found is None:
        raise InputError(f"the judge that ships (models/{JUDGE}) is not here; name a --bundle or a --dataset")
    return found


def model(name: str) -> Path | None:
    """The folder of the model of that name, if it ships and is here."""
    return _find(name) if name in MODELS else None


def is_shipped(folder: Path) -> bool:
    """Whether the model in `folder` is one that ships, and not another of its name."""
    own = model(folder.name)
    return own is not None and folder_sha256(own, FILES) == folder_sha256(folder, FILES)


def _find(name: str) -> Path | None:
    return next((place / name for place in PLACES if (place / name).is_dir()), None)
