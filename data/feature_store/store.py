"""Reads hidden states from disk, as data/feature_store/writer.py wrote them.

The MLLM reads every image once; the head is then trained from here, as often as one likes. A reader that expects
states of anything else than the store's is refused: states of another model have the right shape and the wrong meaning.

A row group is what one read fetches. Training reads images in random order, so a group is as small as reading
stays fast: the writer's `GROUP_BYTES`, or one image where an image is larger. A reader holds a bounded number of bytes
of them; a store smaller than that is read from disk once, and one of 100 GB costs no more memory.
"""

import json
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from data.feature_store.index import Index, Location, PartIndex, read_index
from data.feature_store.shuffle import Shuffle, buckets
from data.feature_store.writer import DTYPES, SCHEMA, ImageStates, canonical, planned
from m3agiqa.ahead import ahead
from m3agiqa.errors import InputError
from m3agiqa.head.batch import Batch, fill
from m3agiqa.spans import Span

CACHE_BYTES = 256 << 20  # 3,000 images of 150 tokens x 256 dims in bfloat16: such a store stays in memory
READERS = max(1, min(8, (os.cpu_count() or 1) // 2))  # threads; each reads one row group at a time
FOOTERS = 256  # parts whose footer is kept: 0.1 MB each of 64 large images

Group = tuple[int, int]  # the number of a part, and of a row group in it: what one read fetches


class FeatureStore:
    """Reads a finished store: `store[image_id]`, `store.rows()`, or padded `store.batches(...)`."""

    def __init__(
        self,
        paths: list[Path],
        index: Index,
        fingerprint: dict[str, Any],
        cache_bytes: int,
    ) -> None:
        self.fingerprint = fingerprint
        ((self.dim, dtype),) = index.shapes  # the width of the states
        self.dtype = DTYPES[dtype]
        self._paths, self._index = paths, index
        self._footers: OrderedDict[int, pq.FileMetaData] = OrderedDict()  # not read again for every group
        self._cache: OrderedDict[Group, pa.LargeBinaryArray] = OrderedDict()
        self._cached, self._cache_bytes = 0, cache_bytes  # bytes in the cache, and at most
        self._lock = threading.Lock()  # of the caches; threads read the disk at the same time

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
        parts: list[PartIndex] = []
        first: dict[bytes, bytes] = {}
        for path in paths:
            try:
                with pq.ParquetFile(path) as file:
                    metadata = file.schema_arrow.metadata or {}
                    parts.append(read_index(file, len(parts)))
                    file.schema_arrow.empty_table().select(SCHEMA.names)  # a KeyError names what an older one lacks
            except (pa.ArrowException, KeyError) as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"{path}: not a whole part of a feature store ({reason})") from error
            if not {b"fingerprint", b"plan"} <= metadata.keys():
                raise InputError(f"{path}: not a part of a feature store: its metadata has no fingerprint")
            first = first or metadata
            for key in (b"fingerprint", b"plan"):
                _refuse(path, json.loads(metadata[key]), json.loads(first[key]), f"{paths[0].name} has")
        index = Index(parts)
        plan, found = json.loads(first[b"plan"]), json.loads(first[b"fingerprint"])
        if planned(list(index.rows), len(paths)) != first[b"plan"]:
            raise InputError(
                f"{folder}: {len(paths)} parts with {len(index.rows)} images, "
                f"where {plan['parts']} parts with {plan['images']} images belong; run the features stage"
            )
        if expect is not None:
            _refuse(paths[0], found, json.loads(canonical(expect)), "this run needs")
        if len(index.shapes) > 1:
            raise InputError(f"{folder}: states of different width or type in one store: {index.shapes}")
        return cls(paths, index, found, cache_bytes)

    def without_descriptions(self) -> Self:
        """The same store, each sequence ended before its description: what a judge reads that writes none.

        A causal model's states do not know what comes after them, so these are those of image and question alone. The
        description's place takes the last of them, from which the MLLM would begin to describe.
        """
        fingerprint = {**self.fingerprint, "descriptions": False}
        return type(self)(self._paths, self._index.without_descriptions(), fingerprint, self._cache_bytes)

    @property
    def ids(self) -> list[str]:
        """Every image, in the order in which the store was planned."""
        return list(self._index.rows)

    @property
    def max_tokens(self) -> int:
        """The longest sequence."""
        return int(self._index.tokens.max())

    def tokens(self, image_id: str) -> int:
        """Length of one image's sequence, without reading it."""
        return self._location(image_id).tokens

    def description(self, image_id: str) -> Span:
        """Where in one image's sequence the description stands, without reading it."""
        return self._location(image_id).description

    def __len__(self) -> int:
        return len(self._index.rows)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._index.rows

    def vision(self, image_id: str) -> Tensor | None:
        """(2 D,) float32: mean and spread of what the language model was shown of one image; None: not told."""
        location = self._location(image_id)
        seen = self._column(location[:2], "vision")[location.row].as_buffer()
        return None if seen is None else torch.frombuffer(seen, dtype=torch.float32).clone()

    def __getitem__(self, image_id: str) -> Tensor:
        """The states of one image, (T, D), a copy of its own."""
        location = self._location(image_id)
        return self._states(location, self._group(location[:2])).clone()

    def rows(self) -> Iterator[ImageStates]:
        """Every image with its states, in order: each row group is read once."""
        for image_id in self._index.rows:
            yield ImageStates(image_id, self[image_id])

    def batches(
        self, image_ids: Sequence[str], batch_size: int, shuffle: Shuffle | None = None, *, pin: bool = False
    ) -> Iterator[Batch]:
        """Padded batches of images of similar length.

        While one batch is used, READERS threads read the next two; with `pin`, into page-locked memory.
        """
        with ThreadPoolExecutor(READERS, thread_name_prefix="read") as readers:
            read = partial(self._batch, readers=readers, pin=pin)
            yield from ahead(read, self.buckets(list(image_ids), batch_size, shuffle), 2)

    def _batch(self, ids: list[str], *, readers: ThreadPoolExecutor, pin: bool) -> Batch:
        """Padded; each row group is read once and by one of `readers`, who also fills the rows of its images."""
        locations = [self._location(image_id) for image_id in ids]
        tokens, spans = [location.tokens for location in locations], [location.description for location in locations]
        batch = Batch.to_fill(ids, tokens, spans, self.dim, self.dtype, pin=pin)
        wanted: dict[Group, list[tuple[Tensor, Location]]] = {}
        for row, location in zip(batch.states, locations, strict=True):
            wanted.setdefault(location[:2], []).append((row, location))

        def fill_rows(key: Group) -> None:
            group = self._group(key)
            for row, location in wanted[key]:
                fill(row, self._states(location, group))

        deque(readers.map(fill_rows, wanted), maxlen=0)
        return batch

    def buckets(self, ids: list[str], size: int, shuffle: Shuffle | None = None) -> list[list[str]]:
        """The images of each of those batches."""
        return buckets(ids, self.tokens, size, shuffle)

    def _location(self, image_id: str) -> Location:
        try:
            return self._index[image_id]
        except KeyError:
            raise InputError(f"the feature store has no states of image {image_id!r}") from None

    def _states(self, location: Location, group: pa.LargeBinaryArray) -> Tensor:
        """(T, D), a view of the group's memory, to be read only; an Arrow scalar would be a copy.

        T is as many of the image's tokens as this store shows.
        """
        _, offsets, data = group.buffers()
        start, end = np.frombuffer(offsets, np.int64)[group.offset + location.row :][:2]
        flat = torch.frombuffer(data, dtype=self.dtype, offset=start, count=(end - start) // self.dtype.itemsize)
        return flat.view(-1, self.dim)[: location.tokens]

    def _group(self, key: Group) -> pa.LargeBinaryArray:
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        states = self._column(key, "states")
        with self._lock:
            if key not in self._cache:  # another thread may have read it, too
                self._cache[key] = states
                self._cached += states.nbytes
            while len(self._cache) > 1 and self._cached > self._cache_bytes:
                self._cached -= self._cache.popitem(last=False)[1].nbytes
        return states

    def _column(self, key: Group, name: str) -> Any:
        """One column of a row group, from disk."""
        part, group = key
        with self._lock:
            footer = self._footers.get(part)
        try:
            with pq.ParquetFile(self._paths[part], metadata=footer, page_checksum_verification=True) as file:
                column, footer = file.read_row_group(group, columns=[name], use_threads=False)[name], file.metadata
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self._paths[part]}: damaged since it was written ({error})") from error
        with self._lock:
            self._footers[part] = footer
            while len(self._footers) > FOOTERS:
                self._footers.popitem(last=False)
        return column.chunk(0)


def _refuse(path: Path, found: dict[str, Any], expected: dict[str, Any], who: str, field: str = "") -> None:
    """Raise on the first field in which two (nested) dicts differ."""
    for key in sorted(found.keys() | expected.keys()):
        have, want = found.get(key), expected.get(key)
        if isinstance(have, dict) and isinstance(want, dict):
            _refuse(path, have, want, who, f"{field}{key}.")
        elif have != want:
            raise InputError(f"{path}: its states have {field}{key} = {have!r}; {who} {want!r}")
