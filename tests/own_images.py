"""A folder of your own images, read in."""

from data.ingest.samples import ingest

HEADER = "name,prompt,mos_quality"


def read(source, scale=(0, 5)):
    return ingest("folder", [source], source.parent / "out", scale=scale)[0]
