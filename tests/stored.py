"""Small feature stores: states that an image's number makes, written five images to a part, or any sequences."""

import torch

from data.feature_store.store import FeatureStore
from data.feature_store.writer import FeatureWriter, ReadImage
from m3agiqa.spans import Span

FINGERPRINT = {"model": "tiny", "layer": -1, "adapter": {"sha256": "ab", "r": 64}, "dtype": "bfloat16"}


def states_of(number, tokens=None, dim=8, dtype=torch.bfloat16):
    generator = torch.Generator().manual_seed(number)
    return torch.randn(tokens or 3 + number % 7, dim, generator=generator).to(dtype)


def stored(image_id, states, start=0, end=1):
    """An image whose description stands from `start` to `end`, and of which "fair" was said."""
    return ReadImage(
        image_id, states, Span(start, end), "fair", 2.5, fewer_views=False, kept=None, vision=states[0].float()
    )


def row_of(image_id, **shape):
    states = states_of(int(image_id[-3:]), **shape)
    return stored(image_id, states, len(states) // 3, len(states))


def write(folder, count=23, fingerprint=FINGERPRINT, parts=None, **shape):
    ids = [f"image-{number:03d}" for number in range(count)]
    writer = FeatureWriter(folder, fingerprint, ids, shard_images=5)
    for part in writer.missing()[:parts]:
        writer.write(part, (row_of(image_id, **shape) for image_id in part.image_ids))
    return writer


def second_half(states):
    """Of its tokens."""
    return Span(len(states) // 2, len(states))


def store_of(folder, sequences, description_of=second_half):
    """The store of (tokens, dim) states by image."""
    writer = FeatureWriter(folder, {"made": "up"}, list(sequences), shard_images=32)
    for part in writer.missing():
        rows = ((name, sequences[name]) for name in part.image_ids)
        writer.write(part, [stored(name, states, *description_of(states)) for name, states in rows])
    return FeatureStore.open(folder)


def random_store(folder, lengths, dim):
    """Of so many tokens each, drawn anew for each image; they are called i0, i1, …"""
    random = torch.Generator().manual_seed(0)
    sequences = {f"i{number}": torch.randn(length, dim, generator=random) for number, length in enumerate(lengths)}
    return store_of(folder, sequences)
