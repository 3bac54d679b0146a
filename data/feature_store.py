"""Hidden states on disk: one Parquet row an image, its states as the raw bytes of a (tokens, dim) matrix.

Beside them stands where in the sequence the student's description is: a head may look at it apart from the rest.

The MLLM reads every image once; the head is then trained from here, as often as one likes. A nested list type
would be fifteen times slower, so `states` is a plain binary column, and Arrow knows no bfloat16, so the bits go in
as they are and come out as they were. Neither dictionary nor statistics nor compression touch them (zstd would save
6 %); each page carries a checksum.

A store is a folder of parts, planned from the list of images before the first is written. A part takes its name
only when it is whole, so a killed run keeps the whole ones and writes the rest again, in the same bytes. What the
states depend on (model, adapter, layer, prompts, ...) stands in each part's metadata, and a reader that expects
anything else is refused: states of another model have the right shape and the wrong meaning.

A row group is what one read fetches. Training reads images in random order, so a group is as small as reading
stays fast: `GROUP_BYTES`, or one image where an image is larger. A reader holds a bounded number of bytes of them;
a store smaller than that is read from disk once, and one of 100 GB costs no more memory.
"""

import json
import os
import shutil
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from data.ahead import ahead
from data.errors import InputError
from data.files import atomic, fingerprint

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
GROUP_BYTES = 2 << 20  # 4096-dim states are 2 to 4 MB an image: one read, one image; small states share a group
CACHE_BYTES = 256 << 20  # 3,000 images of 150 tokens x 256 dims in bfloat16: such a store stays in memory
SHARD_IMAGES = 64  # 250 MB at 4096 dims; what a kill may cost; few enough files for DVC
READERS = max(1, min(4, (os.cpu_count() or 1) // 2))  # threads; each holds one batch
POOL_BATCHES = 16  # images sorted by length together: little padding, batches still well mixed

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("dim", pa.int32(), nullable=False),
        pa.field("dtype", pa.string(), nullable=False),
        pa.field("description_start", pa.int32(), nullable=False),
        pa.field("description_end", pa.int32(), nullable=False),
        pa.field("states", pa.large_binary(), nullable=False),
    ]
)


Span = tuple[int, int]  # tokens from the first up to the second, which is left out
Row = tuple[str, Tensor, Span]  # image_id, its states (T, D), and where in them the description stands


class Part(NamedTuple):
    """One file of the plan and the images that belong in it, in order."""

    index: int
    image_ids: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"part-{self.index:05d}.parquet"


class Batch(NamedTuple):
    """Right-padded states of some images, zeros behind the last token."""

    image_ids: tuple[str, ...]
    states: Tensor  # (B, T, D), the dtype of the store
    mask: Tensor  # (B, T), True at real tokens
    description: Tensor  # (B, T), True at the description's tokens

    @classmethod
    def of(cls, rows: Iterable[Row], *, pin: bool = False) -> Self:
        """Copies each row once, with `pin` into page-locked memory, from where a GPU fetches it without a wait."""
        ids, matrices, spans = zip(*rows, strict=True)
        lengths = torch.tensor([len(matrix) for matrix in matrices])
        shape = (len(ids), int(lengths.max()), matrices[0].shape[1])
        states = torch.empty(shape, dtype=matrices[0].dtype, pin_memory=pin)  # (B, T, D)
        for row, matrix in zip(states, matrices, strict=True):
            row[: len(matrix)] = matrix
            row[len(matrix) :] = 0
        at = torch.arange(states.shape[1])  # (T,)
        start, end = torch.tensor(spans).T[..., None]  # (B, 1) each
        masks = (at < lengths[:, None], (start <= at) & (at < end))
        return cls(ids, states, *(mask.pin_memory() if pin else mask for mask in masks))

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """What a head takes."""
        return self.states, self.mask, self.description

    def to(self, device: str | torch.device) -> "Batch":
        return Batch(self.image_ids, *(tensor.to(device, non_blocking=True) for tensor in self.tensors))


class FeatureWriter:
    """Writes the parts that are not there yet.

        writer = FeatureWriter(folder, fingerprint, image_ids)
        for part in writer.missing():
            writer.write(part, ((image_id, *states_and_span_of(image_id)) for image_id in part.image_ids))

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
        self._metadata = {b"fingerprint": _canonical(fingerprint), b"plan": _plan(image_ids, len(self.parts))}

    def missing(self) -> list[Part]:
        """The parts still to write. A file that is torn, or holds other images or other states, counts as missing."""
        return [part for part in self.parts if not self._whole(part)]

    def write(self, part: Part, rows: Iterable[Row]) -> None:
        """Write one part from its rows, in the order of `part.image_ids`. `rows` may be a generator.

        Raises:
            InputError: states that are not finite, which float16 makes of anything beyond 65504.
            ValueError: a row out of order, missing or superfluous; a span that is empty or outside the sequence.
        """
        schema = SCHEMA.with_metadata(self._metadata)
        expected = iter(part.image_ids)
        options = {"use_dictionary": False, "write_statistics": False, "compression": "none"}
        with (
            atomic(self.folder / part.name) as temporary,
            pq.ParquetWriter(temporary, schema, write_page_checksum=True, **options) as writer,
        ):
            group: list[Row] = []
            for image_id, states, description in rows:
                if image_id != (due := next(expected, None)):
                    raise ValueError(f"{part.name}: got the states of {image_id!r} where {due!r} was due")
                _check(image_id, states, description)
                if group and sum(other.nbytes for _, other, _ in group) + states.nbytes > GROUP_BYTES:
                    writer.write_table(_table(group, schema))
                    group = []
                group.append((image_id, states, description))
            if (due := next(expected, None)) is not None:
                raise ValueError(f"{part.name}: the states of {due!r} are missing")
            writer.write_table(_table(group, schema))

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
                same = all(file.schema_arrow.metadata.get(key) == value for key, value in self._metadata.items())
                return same and tuple(file.read(["image_id"])["image_id"].to_pylist()) == part.image_ids
        except (FileNotFoundError, pa.ArrowException, TypeError, AttributeError):
            return False


@dataclass(frozen=True)
class _Place:
    """Where an image's row lies, and its shape."""

    path: Path
    group: int
    row: int
    tokens: int
    dim: int
    dtype: str
    description: Span


class FeatureStore:
    """Reads a finished store: `store[image_id]`, `store.rows()`, or padded `store.batches(...)`."""

    def __init__(
        self,
        places: dict[str, _Place],
        footers: dict[Path, pq.FileMetaData],
        fingerprint: dict[str, Any],
        cache_bytes: int,
    ) -> None:
        self.fingerprint = fingerprint
        self._places = places
        self._footers = footers  # read once, not for every group
        self._cache: OrderedDict[tuple[Path, int], pa.LargeBinaryArray] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._lock = threading.Lock()  # of the cache; threads read the disk at the same time

    @classmethod
    def open(
        cls, folder: Path | str, expect: Mapping[str, Any] | None = None, *, cache_bytes: int = CACHE_BYTES
    ) -> Self:
        """Open `folder`; only the small columns are read.

        Raises:
            InputError: no store, a missing or damaged part, parts of different stores, or a fingerprint that
                differs from `expect`; the message names the field.
        """
        folder = Path(folder)
        paths = sorted(folder.glob("part-*.parquet"))
        if not paths:
            raise InputError(f"{folder}: no feature store here; run the features stage")
        places: dict[str, _Place] = {}
        footers: dict[Path, pq.FileMetaData] = {}
        first: dict[bytes, bytes] = {}
        for path in paths:
            try:
                with pq.ParquetFile(path) as file:
                    metadata, rows = file.schema_arrow.metadata or {}, _places(path, file)
                    footers[path] = file.metadata
            except (pa.ArrowException, KeyError) as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"{path}: not a whole part of a feature store ({reason})") from error
            if not {b"fingerprint", b"plan"} <= metadata.keys():
                raise InputError(f"{path}: not a part of a feature store: its metadata has no fingerprint")
            first = first or metadata
            for key in (b"fingerprint", b"plan"):
                _refuse(path, json.loads(metadata[key]), json.loads(first[key]), f"{paths[0].name} has")
            places |= rows
        plan, found = json.loads(first[b"plan"]), json.loads(first[b"fingerprint"])
        if _plan(list(places), len(paths)) != first[b"plan"]:
            raise InputError(
                f"{folder}: {len(paths)} parts with {len(places)} images, "
                f"where {plan['parts']} parts with {plan['images']} images belong; run the features stage"
            )
        if expect is not None:
            _refuse(paths[0], found, json.loads(_canonical(expect)), "this run needs")
        if len(shapes := {(place.dim, place.dtype) for place in places.values()}) > 1:
            raise InputError(f"{folder}: states of different width or type in one store: {sorted(shapes)}")
        return cls(places, footers, found, cache_bytes)

    @property
    def ids(self) -> list[str]:
        """Every image, in the order in which the store was planned."""
        return list(self._places)

    @property
    def dim(self) -> int:
        """Width of the states."""
        return next(iter(self._places.values())).dim

    @property
    def max_tokens(self) -> int:
        """The longest sequence."""
        return max(place.tokens for place in self._places.values())

    def tokens(self, image_id: str) -> int:
        """Length of one image's sequence, without reading it."""
        return self._place(image_id).tokens

    def description(self, image_id: str) -> Span:
        """Where in one image's sequence the description stands, without reading it."""
        return self._place(image_id).description

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._places

    def __getitem__(self, image_id: str) -> Tensor:
        """The states of one image, (T, D), a copy of its own."""
        return self._states(image_id).clone()

    def rows(self) -> Iterator[tuple[str, Tensor]]:
        """Every image with its states, in order: each row group is read once."""
        for image_id in self._places:
            yield image_id, self[image_id]

    def batches(
        self, image_ids: Sequence[str], batch_size: int, *, seed: int | None = None, epoch: int = 0, pin: bool = False
    ) -> Iterator[Batch]:
        """Padded batches of images of similar length; with a seed, shuffled anew in each epoch.

        Each epoch is a function of (seed, epoch) alone. Without a seed the images come longest first, so that a
        batch that does not fit into memory fails at once. The next ones are read while one is used, with `pin` into
        page-locked memory.
        """

        def read(ids: list[str]) -> Batch:
            rows = ((image_id, self._states(image_id), self.description(image_id)) for image_id in ids)
            return Batch.of(rows, pin=pin)

        return ahead(read, self._buckets(list(image_ids), batch_size, seed, epoch), READERS)

    def _buckets(self, ids: list[str], size: int, seed: int | None, epoch: int) -> list[list[str]]:
        if seed is None:
            ids = sorted(ids, key=lambda image_id: -self.tokens(image_id))
            return [ids[start : start + size] for start in range(0, len(ids), size)]
        random = np.random.default_rng([seed, epoch])
        ids = [ids[index] for index in random.permutation(len(ids))]
        buckets = []
        for start in range(0, len(ids), pool := size * POOL_BATCHES):
            by_length = sorted(ids[start : start + pool], key=self.tokens)
            buckets += [by_length[first : first + size] for first in range(0, len(by_length), size)]
        return [buckets[index] for index in random.permutation(len(buckets))]

    def _place(self, image_id: str) -> _Place:
        try:
            return self._places[image_id]
        except KeyError:
            raise InputError(f"the feature store has no states of image {image_id!r}") from None

    def _states(self, image_id: str) -> Tensor:
        """(T, D) in the cache's own memory: to be read only."""
        place = self._place(image_id)
        row = self._group(place)[place.row].as_buffer()
        return torch.frombuffer(row, dtype=DTYPES[place.dtype]).view(place.tokens, place.dim)

    def _group(self, place: _Place) -> pa.LargeBinaryArray:
        key = (place.path, place.group)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        try:
            footer = self._footers[place.path]
            with pq.ParquetFile(place.path, metadata=footer, page_checksum_verification=True) as file:
                column = file.read_row_group(place.group, columns=["states"], use_threads=False)["states"]
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{place.path}: damaged since it was written ({error})") from error
        with self._lock:
            self._cache[key] = column.chunk(0)
            while len(self._cache) > 1 and sum(group.nbytes for group in self._cache.values()) > self._cache_bytes:
                self._cache.popitem(last=False)
        return column.chunk(0)


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


def _table(group: list[Row], schema: pa.Schema) -> pa.Table:
    """A row group. The states are copied once, end to end, into one buffer."""
    ids, matrices, spans = zip(*group, strict=True)
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
        binary,
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _places(path: Path, file: pq.ParquetFile) -> dict[str, _Place]:
    names = [name for name in SCHEMA.names if name != "states"]
    places = {}
    for group in range(file.num_row_groups):
        columns = file.read_row_group(group, columns=names).to_pydict()
        for row, values in enumerate(zip(*(columns[name] for name in names), strict=True)):
            image_id, tokens, dim, dtype, *description = values
            places[image_id] = _Place(path, group, row, tokens, dim, dtype, tuple(description))
    return places


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _plan(image_ids: Sequence[str], parts: int) -> bytes:
    return _canonical({"parts": parts, "images": len(image_ids), "image_ids_sha256": fingerprint(list(image_ids))})


def _refuse(path: Path, found: dict[str, Any], expected: dict[str, Any], who: str, field: str = "") -> None:
    """Raise on the first field in which two (nested) dicts differ."""
    for key in sorted(found.keys() | expected.keys()):
        have, want = found.get(key), expected.get(key)
        if isinstance(have, dict) and isinstance(want, dict):
            _refuse(path, have, want, who, f"{field}{key}.")
        elif have != want:
            raise InputError(f"{path}: its states have {field}{key} = {have!r}; {who} {want!r}")
