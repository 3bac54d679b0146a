"""What the MLLM said comes from two places, and what is shown of a description is what was read of it."""

import pandas as pd
import pytest
import torch

from data.feature_store.said import read_said
from data.feature_store.writer import FeatureWriter
from data.tables.frames import write_table
from m3agiqa.errors import InputError
from tests.stored import stored

IDS = ["a", "b", "c"]


@pytest.fixture
def places(tmp_path):
    """The descriptions and the features of three images in two parts; of b's description a sentence was read."""
    descriptions, features = tmp_path / "descriptions.parquet", tmp_path / "features"
    texts = ["Sharp. Clean.", "Dark. Noisy.", "Bright."]
    write_table(pd.DataFrame({"image_id": IDS, "description": texts, "cut_off": [False, False, True]}), descriptions)
    writer = FeatureWriter(features, {}, IDS, shard_images=2)
    rows = {image_id: stored(image_id, torch.ones(3, 4)) for image_id in IDS}
    rows["b"] = rows["b"]._replace(word="poor", fewer_views=True, kept="Dark.")
    for part in writer.missing():
        writer.write(part, (rows[image_id] for image_id in part.image_ids))
    return descriptions, features


def test_a_description_is_shown_as_it_was_read(places):
    said = read_said(*places).set_index("image_id")
    assert said["description"].to_dict() == {"a": "Sharp. Clean.", "b": "Dark.", "c": "Bright."}
    assert said["word"].to_dict() == {"a": "fair", "b": "poor", "c": "fair"}
    assert [said.index[said[column]].tolist() for column in ("fewer_views", "shortened", "cut_off")] == [
        ["b"],
        ["b"],
        ["c"],
    ]


def test_states_of_other_images_are_refused(places):
    descriptions, features = places
    (features / "part-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"features: not the states of the images in .*descriptions\.parquet"):
        read_said(descriptions, features)
    with pytest.raises(InputError, match=r"nothing: not the states of the images"):
        read_said(descriptions, features.with_name("nothing"))
