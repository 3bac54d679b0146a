"""One reader for each format that label files come in; its name in params.yaml is its module's, with hyphens.

Where that is a word of Python, as `raise` is, the module's ends in an underscore.

A reader is a function `read(files, scale)` that finds its label files (data/ingest/lookup.py) and yields a `Rated`
(data/ingest/labels.py) for each image: where it is said, which file is meant, the prompt, the generator, and for each
aspect MOS and std as they stand there. What they mean on the 0 to 5 scale, and whether the images are sound, is not
its business: data/ingest/samples.py sees to it.
"""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from data.ingest.labels import Rated
from data.ingest.lookup import Files
from m3agiqa.aspects import Scale

MODULES = {module.name.rstrip("_").replace("_", "-"): module.name for module in pkgutil.iter_modules(__path__)}
READERS = tuple(sorted(MODULES))


def read_labels(reader: str, files: Files, scale: Scale) -> Iterator[Rated]:
    """What the reader of this name, one of READERS, finds in `files`."""
    rated: Iterator[Rated] = import_module(f"{__name__}.{MODULES[reader]}").read(files, scale)
    return rated
