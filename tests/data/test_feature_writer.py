"""The feature writer survives a kill, publishes whole stores, and refuses what is no state."""

import json

import hypothesis.strategies as st
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings

from data.feature_store.store import FeatureStore
from data.feature_store.writer import FeatureWriter
from m3agiqa.errors import InputError
from tests.stored import FINGERPRINT, row_of, states_of, stored, write

NUMBERS = ["image_id", "tokens", "dim", "dtype", "description_start", "description_end"]
SAID = ["word", "expected", "fewer_views", "kept"]


def write_all(writer, rows):
    for part in writer.missing():
        writer.write(part, rows(part.image_ids))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@settings(deadline=None, max_examples=12)
@given(killed_at=st.integers(0, 22), torn=st.booleans())
def test_a_killed_run_continues_to_the_same_bytes(tmp_path_factory, killed_at, torn):
    whole, folder = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("killed")
    write(whole)
    done = []

    def dying(image_ids):
        for image_id in image_ids:
            if len(done) == killed_at:
                raise KeyboardInterrupt
            done.append(image_id)
            yield row_of(image_id)

    writer = FeatureWriter(folder, FINGERPRINT, [f"image-{number:03d}" for number in range(23)], shard_images=5)
    with pytest.raises(KeyboardInterrupt):
        write_all(writer, dying)
    if torn:  # a file that a power cut left behind under the final name
        (folder / "part-00004.parquet").write_bytes((whole / "part-00004.parquet").read_bytes()[:99])
    assert [part.index for part in writer.missing()] == list(range(killed_at // 5, 5))
    write(folder)
    assert contents(folder) == contents(whole)


def test_parts_of_other_states_or_other_images_are_written_again(tmp_path):
    assert not write(tmp_path).missing()
    assert len(write(tmp_path, count=22, parts=0).missing()) == 5
    assert len(write(tmp_path, fingerprint=FINGERPRINT | {"layer": 0}, parts=0).missing()) == 5


def test_a_part_of_an_older_version_is_written_again_and_not_read(tmp_path):
    writer = write(tmp_path)
    path = tmp_path / "part-00003.parquet"
    pq.write_table(pq.read_table(path).drop_columns("vision"), path)
    assert [part.index for part in writer.missing()] == [3]
    with pytest.raises(InputError, match=r"part-00003\.parquet: not a whole part of a feature store .*vision"):
        FeatureStore.open(tmp_path)


@pytest.mark.parametrize("states", [torch.ones(3, 4), torch.ones(3, 4).bfloat16()])
def test_vision_is_finite_float32_or_none(tmp_path, states):
    writer = FeatureWriter(tmp_path, {}, ["a"])
    row = stored("a", states)
    with pytest.raises(InputError, match="a: what the language model is shown of it is not finite"):
        writer.write(writer.parts[0], [row._replace(vision=torch.tensor([1.0, float("nan")]))])
    for wrong in (torch.ones(2).bfloat16(), torch.ones(2, 2)):
        with pytest.raises(ValueError, match="a: expected a row of float32"):
            writer.write(writer.parts[0], [row._replace(vision=wrong)])
    writer.write(writer.parts[0], [row._replace(vision=None)])
    assert FeatureStore.open(tmp_path).vision("a") is None


def test_publish_gives_the_parts_a_second_name(tmp_path):
    with pytest.raises(ValueError, match=r"part-00002.parquet is not written yet"):
        write(tmp_path / "journal", parts=2).publish(tmp_path / "out")
    write(tmp_path / "journal").publish(tmp_path / "out")
    write(tmp_path / "journal").publish(tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "journal")
    assert FeatureStore.open(tmp_path / "out", FINGERPRINT).ids == FeatureStore.open(tmp_path / "journal").ids


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan")])
def test_states_that_are_not_finite_are_refused(tmp_path, bad):
    states = torch.ones(3, 4, dtype=torch.float16)
    states[1, 2] = bad
    writer = FeatureWriter(tmp_path, {}, ["a"])
    with pytest.raises(InputError, match="a: the hidden states are not finite; float16 ends at 65504"):
        writer.write(writer.parts[0], [stored("a", states)])
    assert not list(tmp_path.iterdir())


def test_rows_out_of_order_and_repeated_images_are_refused(tmp_path):
    writer = FeatureWriter(tmp_path, {}, ["a", "b"])
    with pytest.raises(ValueError, match="'b' where 'a' was due"):
        writer.write(writer.parts[0], [stored("b", states_of(0))])
    with pytest.raises(ValueError, match="'b' are missing"):
        writer.write(writer.parts[0], [stored("a", states_of(0))])
    with pytest.raises(ValueError, match=r"expected a .tokens, dim. matrix"):
        writer.write(writer.parts[0], [stored("a", torch.ones(3, dtype=torch.float32))])
    for span in ((1, 1), (0, 4), (-1, 2)):
        with pytest.raises(ValueError, match=r"no description at tokens .* of 3"):
            writer.write(writer.parts[0], [stored("a", states_of(0), *span)])
    with pytest.raises(InputError, match="'a' appears twice"):
        FeatureWriter(tmp_path, {}, ["a", "b", "a"])


def test_any_reader_can_make_sense_of_a_part(tmp_path):
    write(tmp_path)
    file = pq.ParquetFile(tmp_path / "part-00000.parquet")
    assert json.loads(file.schema_arrow.metadata[b"fingerprint"]) == FINGERPRINT
    states = file.metadata.row_group(0).column(11)
    assert (states.path_in_schema, states.compression, states.statistics) == ("states", "UNCOMPRESSED", None)
    assert not any("DICTIONARY" in encoding for encoding in states.encodings)
    assert file.read().column_names == [*NUMBERS, *SAID, "vision", "states"]
