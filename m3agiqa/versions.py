"""The installed libraries that decide the numbers: another version of one may give another score."""

from importlib.metadata import version

LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "accelerate", "xlstm", "pillow", "numpy")


def versions() -> dict[str, str]:
    """Each library's version, by its name."""
    return {name: version(name) for name in LIBRARIES}
