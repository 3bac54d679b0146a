"""The feature store gives back the exact bits, alone and in batches, and refuses other and damaged states."""

import threading
import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings

from data.feature_store import store as feature_store
from data.feature_store import writer as feature_writer
from data.feature_store.shuffle import Shuffle
from data.feature_store.store import FeatureStore
from data.feature_store.writer import DTYPES, FeatureWriter
from m3agiqa.errors import InputError
from tests.stored import FINGERPRINT, row_of, states_of, stored, write


@settings(deadline=None, max_examples=20)
@given(
    dtype=st.sampled_from(sorted(DTYPES)),
    shapes=st.lists(st.integers(1, 9), min_size=1, max_size=7),
    dim=st.integers(1, 5),
    seed=st.integers(0, 999),
    group_bytes=st.sampled_from([1, 64, 1 << 20]),
)
def test_every_finite_bit_pattern_comes_back(tmp_path_factory, dtype, shapes, dim, seed, group_bytes):
    folder = tmp_path_factory.mktemp("store")
    width = torch.finfo(DTYPES[dtype]).bits // 8
    random = np.random.default_rng(seed)
    rows = {}
    for number, tokens in enumerate(shapes):
        states = torch.from_numpy(random.integers(0, 256, tokens * dim * width, dtype=np.uint8)).view(DTYPES[dtype])
        rows[f"ü {number}"] = torch.where(torch.isfinite(states), states, -0.0).view(tokens, dim)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_writer, "GROUP_BYTES", group_bytes)
        writer = FeatureWriter(folder, {"dtype": dtype}, list(rows), shard_images=3)
        for part in writer.missing():
            writer.write(part, [stored(image_id, rows[image_id]) for image_id in part.image_ids])
    store = FeatureStore.open(folder, {"dtype": dtype}, cache_bytes=1)
    assert store.ids == list(rows)
    for image_id, states in rows.items():
        assert store[image_id].dtype == states.dtype
        assert torch.equal(store[image_id].view(torch.uint8), states.view(torch.uint8))
        assert torch.equal(store.vision(image_id), states[0].float())  # as tests/stored.py has it
    assert [image_id for image_id, _ in store.rows()] == list(rows)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"layer": -2}, "layer = -1; this run needs -2"),
        ({"adapter": {"sha256": "cd", "r": 64}}, "adapter.sha256 = 'ab'; this run needs 'cd'"),
        ({"prompts": "x"}, "prompts = None; this run needs 'x'"),
    ],
)
def test_states_of_another_model_are_refused_by_field(tmp_path, change, field):
    write(tmp_path)
    assert FeatureStore.open(tmp_path, FINGERPRINT).fingerprint == FINGERPRINT
    with pytest.raises(InputError, match=field.replace(".", r"\.")):
        FeatureStore.open(tmp_path, FINGERPRINT | change)


def test_a_part_of_another_store_is_refused(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", fingerprint=FINGERPRINT | {"layer": 3})
    (tmp_path / "b" / "part-00002.parquet").replace(tmp_path / "a" / "part-00002.parquet")
    with pytest.raises(InputError, match=r"part-00002.*layer = 3; part-00000.parquet has -1"):
        FeatureStore.open(tmp_path / "a")


@pytest.mark.parametrize("parts", [1, 4])
def test_an_unfinished_store_is_refused(tmp_path, parts):
    write(tmp_path, parts=parts)
    with pytest.raises(InputError, match=f"{parts} parts with {parts * 5} images, where 5 parts with 23"):
        FeatureStore.open(tmp_path)


def test_no_store_and_foreign_or_torn_files_are_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="no feature store here"):
        FeatureStore.open(tmp_path)
    write(tmp_path)
    part = tmp_path / "part-00004.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"part-00004.parquet: not a whole part") as caught:
        FeatureStore.open(tmp_path)
    assert "\n" not in str(caught.value)
    pq.write_table(pq.read_table(tmp_path / "part-00000.parquet").replace_schema_metadata({}), part)
    with pytest.raises(InputError, match="its metadata has no fingerprint"):
        FeatureStore.open(tmp_path)


def test_states_of_two_widths_are_no_store(tmp_path):
    writer = FeatureWriter(tmp_path, {}, ["a", "b"])
    writer.write(writer.parts[0], [stored("a", states_of(0)), stored("b", states_of(0, dim=9))])
    with pytest.raises(InputError, match="different width or type"):
        FeatureStore.open(tmp_path)


def test_a_flipped_bit_is_noticed(tmp_path):
    write(tmp_path, dim=64)
    store = FeatureStore.open(tmp_path)
    expected = store["image-000"].view(torch.uint8).numpy().tobytes()
    path = tmp_path / "part-00000.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[damaged.find(expected) + 40] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"part-00000.parquet: damaged since it was written .*CRC checksum"):
        FeatureStore.open(tmp_path)["image-000"]


def test_batches_are_padded_on_the_right_and_cover_every_image_once(tmp_path):
    write(tmp_path)
    store = FeatureStore.open(tmp_path)
    epochs = [list(store.batches(store.ids, 4, Shuffle(1, epoch))) for epoch in (0, 0, 1)]
    orders = [[batch.image_ids for batch in epoch] for epoch in epochs]
    assert orders[0] == orders[1] != orders[2]
    for batches in [*epochs, list(store.batches(store.ids, 4))]:
        assert sorted(image_id for batch in batches for image_id in batch.image_ids) == store.ids
        for image_ids, states, mask, description in batches:
            for row, image_id in enumerate(image_ids):
                assert mask[row].sum() == store.tokens(image_id)
                assert torch.equal(states[row][mask[row]], store[image_id])
                assert not states[row][~mask[row]].any()
                start, end = store.description(image_id)
                assert torch.equal(states[row][description[row]], store[image_id][start:end])
                assert end == store.tokens(image_id) > start > 0
    lengths = [store.tokens(image_id) for batch in store.batches(store.ids, 4) for image_id in batch.image_ids]
    assert lengths == sorted(lengths, reverse=True)


def test_damage_comes_out_of_a_batch(tmp_path):
    write(tmp_path)
    path = tmp_path / "part-00000.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[damaged.find(states_of(0).view(torch.uint8).numpy().tobytes()) + 40] ^= 1
    path.write_bytes(damaged)
    store = FeatureStore.open(tmp_path)
    with pytest.raises(InputError, match=r"part-00000.parquet: damaged since it was written .*CRC checksum"):
        list(store.batches(store.ids, 4))


def test_batches_that_nobody_takes_are_not_read_on(tmp_path):
    write(tmp_path)
    store = FeatureStore.open(tmp_path)
    batches = store.batches(store.ids, 2)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read", "ahead"))]


def test_bucketing_saves_padding(tmp_path):
    write(tmp_path, count=200)
    store = FeatureStore.open(tmp_path)
    masks = [batch.mask for batch in store.batches(store.ids, 8, Shuffle(0))]
    assert sum(mask.sum() for mask in masks) / sum(mask.numel() for mask in masks) > 0.95


def test_the_cache_is_bounded_and_returns_private_copies(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_writer, "GROUP_BYTES", 1)  # a row group an image
    write(tmp_path)
    store = FeatureStore.open(tmp_path, cache_bytes=500)
    for _ in range(2):
        for image_id in reversed(store.ids):
            store[image_id].zero_()
        assert sum(group.nbytes for group in store._cache.values()) <= 500
    assert torch.equal(store["image-004"], states_of(4))
    with pytest.raises(InputError, match="no states of image 'other'"):
        store["other"]


def test_a_reader_holds_a_few_numbers_an_image(tmp_path, monkeypatch):
    """200 bytes, its name among them, and a bounded number of footers: a million images must fit anywhere."""
    writer = FeatureWriter(tmp_path, FINGERPRINT, [f"image-{number:03d}" for number in range(1000)], shard_images=200)
    for part in writer.missing():
        writer.write(part, (row_of(image_id) for image_id in part.image_ids))
    monkeypatch.setattr(feature_store, "FOOTERS", 2)
    tracemalloc.start()
    store = FeatureStore.open(tmp_path)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 220 * 1000
    for image_id in store.ids:
        assert torch.equal(store[image_id], states_of(int(image_id[-3:])))
    assert len(store._footers) == 2


def test_without_descriptions_each_sequence_ends_before_its_own(tmp_path):
    write(tmp_path)
    whole = FeatureStore.open(tmp_path)
    cut = whole.without_descriptions()
    assert cut.fingerprint != whole.fingerprint  # what is learnt from the one is not taken for what the other taught
    assert cut.max_tokens == max(whole.description(image_id).start for image_id in whole.ids)
    seen = set()
    for batch in cut.batches(cut.ids, 4):
        for image_id, states, mask, last in zip(*batch, strict=True):
            start = whole.description(image_id).start
            assert torch.equal(states[mask], whole[image_id][:start])
            assert not states[start:].any()
            assert last.nonzero().flatten().tolist() == [start - 1]
            seen.add(image_id)
    assert seen == set(whole.ids)
    assert all(torch.equal(cut[image_id], whole[image_id][: cut.tokens(image_id)]) for image_id in cut.ids)
