"""Writes hidden states to disk: one Parquet row an image, its states as the raw bytes of a (tokens, dim) matrix.

Beside them stands where in the sequence the student's description is: a head may look at it apart from the rest. And
what else that pass told (data/feature_store/said.py): the rating word, the words' mean, and what had to give way.

A nested list type would be fifteen times slower, so `states` is a plain binary column, and Arrow knows no bfloat16, so
the bits go in as they are and come out as they were. Neither dictionary nor statistics nor compression touch them
(zstd would save 6 %); each page carries a checksum.

A store is a folder of parts, planned from the list of images before the first is written. A part takes its name
only when it is whole, so a killed run keeps the whole ones and writes the rest again, in the same bytes. What the
states depend on (model, adapter, layer, prompts, ...) stands in each part's metadata.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from m3agiqa.errors import InputError
from m3agiqa.files import atomic, fingerprint
from m3agiqa.spans import Span

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
GROUP_BYTES = 2 << 20  # 4096-dim states are 2 to 4 MB an image: one read, one image; small states share a group
SHARD_IMAGES = 64  # 250 MB at 4096 dims; what a kill may cost; few enough files for DVC

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("dim", pa.int32(), nullable=False),
        pa.field("dtype", pa.string(), nullable=False),
        pa.field("description_start", pa.int32(), nullable=False),
        pa.field("description_end", pa.int32(), nullable=False),
        pa.field("word", pa.string(), nullable=False),
        pa.field("expected", pa.float32(), nullable=False),
        pa.field("fewer_views", pa.bool_(), nullable=False),
        pa.field("kept", pa.string()),
        pa.field("vision", pa.binary()),
        pa.field("states", pa.large_binary(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Part:
    """One file of the plan and the images that belong in it, in order."""

    index: int
    image_ids: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"part-{self.index:05d}.parquet"


class ReadImage(NamedTuple):
    """One image as the MLLM read it."""

    image_id: str
    states: Tensor  # (T, D)
    description: Span  # where in T it stands
    word: str  # the rating word that would follow
    expected: float  # 0-5: the mean of the five words, by how likely each is
    fewer_views: bool  # whether the image was taken in fewer than usual, to fit
    kept: str | None  # what was read of a description that did not fit; None where it was read whole
    vision: Tensor | None  # (2 D,) float32: mean and spread of what the language model is shown of it, where it tells


class ImageStates(NamedTuple):
    """One image's hidden states, as a store has them."""

    image_id: str
    states: Tensor  # (T, D)


class FeatureWriter:
    """Writes the parts that are not there yet.

        writer = FeatureWriter(folder, fingerprint, image_ids)
        for part in writer.missing():
            writer.write(part, (read(image_id) for image_id in part.image_ids))

    The plan is a function of `image_ids` and `shard_images` alone. Batch inside a part, never across: then a part
    that is written again after a kill goes through the model in the same batches, and comes out in the same bits.
    """

    def __init__(
        self,
        folder: Path | str,
        fingerprint: Mapping[str, Any],
        image_ids: Sequence[str],
        *,
        shard_images: int = SHARD_IMAGES,
    ) -> None:
        repeated = [image_id for image_id, count in Counter(image_ids).items() if count > 1]
        if repeated:
            raise InputError(f"{folder}: image_id {repeated[0]!r} appears twice")
        self.folder = Path(folder)
        self.parts = [
            Part(index, tuple(image_ids[start : start + shard_images]))
            for index, start in enumerate(range(0, len(image_ids), shard_images))
        ]
        self._schema = SCHEMA.with_metadata(
            {b"fingerprint": canonical(fingerprint), b"plan": planned(image_ids, len(self.parts))}
        )

    def missing(self) -> list[Part]:
        """The parts still to write. A file that is torn, or holds other images or other states, counts as missing."""
        return [part for part in self.parts if not self._whole(part)]

    def write(self, part: Part, rows: Iterable[ReadImage]) -> None:
        """Write one part from its rows, in the order of `part.image_ids`. `rows` may be a generator.

        Raises:
            InputError: states or vision that are not finite, which float16 makes of anything beyond 65504.
            ValueError: a row out of order, missing or superfluous; a span that is empty or outside the sequence.
        """
        expected = iter(part.image_ids)
        options = {"use_dictionary": False, "write_statistics": False, "compression": "none"}
        with (
            atomic(self.folder / part.name) as temporary,
            pq.ParquetWriter(temporary, self._schema, write_page_checksum=True, **options) as writer,
        ):
            group: list[ReadImage] = []
            for row in rows:
                if row.image_id != (due := next(expected, None)):
                    raise ValueError(f"{part.name}: got the states of {row.image_id!r} where {due!r} was due")
                _check(row.image_id, row.states, row.description)
                _check_vision(row.image_id, row.vision)
                if group and sum(other.states.nbytes for other in group) + row.states.nbytes > GROUP_BYTES:
                    writer.write_table(_table(group, self._schema))
                    group = []
                group.append(row)
            if (due := next(expected, None)) is not None:
                raise ValueError(f"{part.name}: the states of {due!r} are missing")
            writer.write_table(_table(group, self._schema))

    def publish(self, folder: Path | str) -> None:
        """Give the finished parts a second name in `folder`: hard links where the file system allows, else copies.

        DVC empties a stage's output before each run; the writer's own folder, outside, is what survives a kill.
        """
        if missing := self.missing():
            raise ValueError(f"{self.folder}: {missing[0].name} is not written yet")
        folder = Path(folder)
        for part in self.parts:
            with atomic(folder / part.name) as temporary:
                try:
                    os.link(self.folder / part.name, temporary)
                except OSError:
                    shutil.copyfile(self.folder / part.name, temporary)

    def _whole(self, part: Part) -> bool:
        try:
            with pq.ParquetFile(self.folder / part.name) as file:
                same = file.schema_arrow.equals(self._schema, check_metadata=True)
                return same and tuple(file.read(["image_id"])["image_id"].to_pylist()) == part.image_ids
        except (FileNotFoundError, pa.ArrowException):
            return False


def _check(image_id: str, states: Tensor, description: Span) -> None:
    name = str(states.dtype).removeprefix("torch.")
    if name not in DTYPES or states.dim() != 2 or not states.numel():
        raise ValueError(
            f"{image_id}: expected a (tokens, dim) matrix of {', '.join(DTYPES)}; got {name} {states.shape}"
        )
    if not 0 <= description[0] < description[1] <= len(states):
        raise ValueError(f"{image_id}: no description at tokens {description} of {len(states)}")
    if not torch.isfinite(torch.stack(states.aminmax())).all():  # NaN passes through aminmax; 20x faster than all
        hint = "; float16 ends at 65504, bfloat16 does not" if name == "float16" else ""
        raise InputError(f"{image_id}: the hidden states are not finite{hint}")


def _check_vision(image_id: str, vision: Tensor | None) -> None:
    if vision is None:
        return
    if vision.dtype != torch.float32 or vision.dim() != 1:
        raise ValueError(f"{image_id}: expected a row of float32 for its vision; got {vision.dtype} {vision.shape}")
    if not torch.isfinite(vision).all():
        raise InputError(f"{image_id}: what the language model is shown of it is not finite")


def _table(group: list[ReadImage], schema: pa.Schema) -> pa.Table:
    """A row group. The states are copied once, end to end, into one buffer."""
    ids, matrices, spans, words, expected, fewer_views, kept, vision = zip(*group, strict=True)
    sizes = [states.nbytes for states in matrices]
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    payload = np.empty(offsets[-1], dtype=np.uint8)
    for states, start, end in zip(matrices, offsets, offsets[1:], strict=False):
        payload[start:end] = states.detach().cpu().contiguous().view(torch.uint8).flatten().numpy()
    binary = pa.Array.from_buffers(pa.large_binary(), len(group), [None, pa.py_buffer(offsets), pa.py_buffer(payload)])
    columns = [
        pa.array(ids, pa.string()),
        pa.array([states.shape[0] for states in matrices], pa.int32()),
        pa.array([states.shape[1] for states in matrices], pa.int32()),
        pa.array([str(states.dtype).removeprefix("torch.") for states in matrices], pa.string()),
        pa.array([start for start, _ in spans], pa.int32()),
        pa.array([end for _, end in spans], pa.int32()),
        pa.array(words, pa.string()),
        pa.array(expected, pa.float32()),
        pa.array(fewer_views, pa.bool_()),
        pa.array(kept, pa.string()),
        pa.array([None if each is None else each.numpy().tobytes() for each in vision], pa.binary()),
        binary,
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def planned(image_ids: Sequence[str], parts: int) -> bytes:
    return canonical({"parts": parts, "images": len(image_ids), "image_ids_sha256": fingerprint(list(image_ids))})
