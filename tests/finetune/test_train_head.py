"""Training a head: it learns what no line can, and continues after a kill in the same bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge

from evaluation.metrics import srcc
from evaluation.predictions import predict
from finetune.heads.moments import Moments
from finetune.heads.training import HISTORY, line_to, train_head
from m3agiqa.errors import InputError
from m3agiqa.head.model import build_head, save_head
from m3agiqa.spans import Span
from pipeline.profiles import Train
from pipeline.settings import PARAMS, load
from tests.stored import second_half, store_of

SETTINGS = load(Path(__file__).parents[2] / PARAMS).train.model_copy(
    update={"epochs": 3, "batch": 8, "lr": 3e-3, "seed": 3}
)


def with_(**changed):
    return Train(**SETTINGS.model_dump() | changed)


def small_head(seed=0, dropout=0.1):
    return build_head("xlstm", 6, seed=seed, dim=8, blocks=2, heads=2, hidden=8, dropout=dropout)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Sequences whose mean tells the score, half of it linearly."""
    random = torch.Generator().manual_seed(0)
    sequences, mos = {}, {}
    for number in range(160):
        states = torch.randn(int(torch.randint(6, 16, (1,), generator=random)), 6, generator=random)
        states += torch.randn(6, generator=random)
        sequences[f"i{number}"] = states
        mos[f"i{number}"] = 2.5 + float(states[:, 0].mean() + 2 * states[:, 1].mean().abs())
    store = store_of(tmp_path_factory.mktemp("store"), sequences)
    table = pd.DataFrame({"image_id": list(mos), "mos": list(mos.values())})
    return store, table[:100], table[100:120], table[120:]


@pytest.fixture(scope="module")
def few(world):
    """Enough for what does not depend on how much is learned."""
    store, train, val, _ = world
    return store, train[:24], val


def spearman(predicted, table):
    return srcc(predicted.to_numpy(), table["mos"])


def test_the_head_learns_what_no_line_through_the_mean_states_can(world):
    store, train, val, test = world
    head = build_head("mlp", 6, seed=0, dim=16, hidden=16)
    weights, history = train_head(head, store, train, val, with_(epochs=40))
    assert list(history.columns) == HISTORY
    assert list(history["epoch"]) == list(range(1, 41))
    head.load_state_dict(weights)
    means = {image_id: states.float().mean(dim=0).numpy() for image_id, states in store.rows()}
    x, x_test = (np.stack([means[image_id] for image_id in table["image_id"]]) for table in (train, test))
    line = pd.Series(Ridge(1.0).fit(x, train["mos"]).predict(x_test))
    assert spearman(predict(head, store, list(test["image_id"])), test) > spearman(line, test) + 0.1


def test_the_selected_weights_are_those_of_the_epoch_with_the_lowest_val_loss(world):
    store, train, val, _ = world
    head = small_head()
    weights, history = train_head(head, store, train, val, with_(epochs=6, lr=3e-2))
    head.load_state_dict(weights)
    error = ((predict(head, store, list(val["image_id"])).to_numpy() - val["mos"]) ** 2).mean()
    assert error / train["mos"].var(ddof=0) == pytest.approx(history["val_loss"].min(), rel=1e-4)


def test_the_head_knows_the_training_images_statistics(world):
    store, train, val, _ = world
    head = small_head()
    train_head(head, store, train, val, SETTINGS)
    states = [store[image_id].double() for image_id in train["image_id"]]
    tokens = torch.cat(states)
    spans = [(x, x[slice(*second_half(x))]) for x in states]
    images = torch.stack(
        [
            torch.cat([moment for x in parts for moment in (x.mean(dim=0), x.std(dim=0, correction=0))])
            for parts in spans
        ]
    )
    for name, values in (("token", tokens), ("image", images)):
        mean, scale = getattr(head, f"{name}_mean"), getattr(head, f"{name}_scale")
        torch.testing.assert_close(mean, values.mean(dim=0).float(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(scale, 1 / values.std(dim=0, correction=0).float(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("wanted", [[], ["states"], ["mos"]])
def test_a_head_takes_as_it_comes_what_it_is_not_to_standardise(world, wanted):
    store, train, val, _ = world
    head = build_head("mlp", 6, seed=0, dim=8, standardise=wanted)
    train_head(head, store, train, val, with_(epochs=1))
    assert (head.token_mean.any() and head.image_mean.any()) == ("states" in wanted)
    assert (float(head.mos_mean) != 0) == ("mos" in wanted)


def test_without_an_average_the_last_weights_are_kept(world):
    store, train, val, _ = world
    head = build_head("mlp", 6, seed=0, dim=8)
    weights, history = train_head(head, store, train, val, with_(epochs=1, average=0.0))
    assert len(history) == 1
    assert all(torch.equal(weights[name], value) for name, value in head.state_dict().items())
    averaged, _ = train_head(build_head("mlp", 6, seed=0, dim=8), store, train, val, with_(epochs=1))
    assert not torch.equal(averaged["project.weight"], weights["project.weight"])


@pytest.mark.parametrize("change", [{"warmup": 0.0}, {"max_norm": None}, {"max_norm": 1e-3}, {"length_window": 1}])
def test_each_knob_of_the_steps_changes_the_weights(world, change):
    store, train, val, _ = world
    first, second = (
        train_head(small_head(), store, train, val, with_(epochs=1, **changed))[0] for changed in ({}, change)
    )
    assert any(not torch.equal(first[name], second[name]) for name in first)


ORDER = {
    "xlstm": {"blocks": 2, "heads": 2},
    "lstm": {"blocks": 1},
    "gru": {"blocks": 1},
    "transformer": {"blocks": 2, "heads": 2},
    "mamba": {"blocks": 1, "heads": 2},
}


@pytest.mark.parametrize("kind", ORDER)
def test_the_head_uses_the_order_of_the_tokens(tmp_path, kind):
    """The score is whether token A came before token B: no mean knows."""
    random = torch.Generator().manual_seed(1)
    sequences, mos = {}, []
    for number in range(200):
        states = 0.1 * torch.randn(8, 6, generator=random)
        first, second = torch.randperm(8, generator=random)[:2].tolist()
        states[first, 0] += 2
        states[second, 1] += 2
        sequences[f"i{number}"] = states
        mos.append(float(first < second))
    store = store_of(tmp_path, sequences, lambda states: Span(0, len(states)))  # the order shows nowhere else
    table = pd.DataFrame({"image_id": list(sequences), "mos": mos})
    head = build_head(kind, 6, seed=0, dim=16, hidden=16, dropout=0.0, **ORDER[kind])
    settings = with_(epochs=14, lr=1e-2, token_dropout=0.0)
    weights, history = train_head(head, store, table[:140], table[140:160], settings)
    head.load_state_dict(weights)
    assert abs(history["val_srcc"].iloc[0]) < 0.7
    assert spearman(predict(head, store, list(table["image_id"][160:])), table[160:]) > 0.8


@pytest.mark.parametrize("loss", [{"huber": 1.0}, {"plcc": 1.0}, {"rank": 1.0}, {"mse": 0.5, "rank": 0.5}])
def test_every_loss_ranks_the_images_and_the_scores_are_mos(world, loss):
    store, train, val, test = world
    head = build_head("mlp", 6, seed=0, dim=16, hidden=16)
    weights, history = train_head(head, store, train, val, with_(epochs=40, loss=loss))
    head.load_state_dict(weights)
    predicted = predict(head, store, list(test["image_id"]))
    assert history["val_loss"].min() < history["val_loss"].iloc[0]
    assert spearman(predicted, test) > 0.8
    assert ((predicted.to_numpy() - test["mos"]) ** 2).mean() < 0.5 * test["mos"].var()


def test_the_line_to_mos_never_falls():
    mos = np.array([1.0, 2.0, 3.0])
    assert line_to(2 * mos + 1, mos) == pytest.approx((0.5, -0.5))
    assert line_to(-mos, mos) == line_to(np.ones(3), mos) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("killed_after", "loss"), [(0, {"mse": 1.0}), (1, {"mse": 1.0}), (2, {"mse": 1.0}), (2, {"plcc": 1.0})]
)
def test_a_resumed_run_ends_in_the_same_bytes(few, tmp_path, killed_after, loss):
    store, train, val = few

    def killed(epochs, **_):
        for epoch in epochs:
            if epoch > killed_after:
                raise KeyboardInterrupt
            yield epoch

    def run(name, head, **options):
        weights, history = train_head(head, store, train, val, with_(loss=loss), **options)
        head.load_state_dict(weights)
        save_head(head, tmp_path / name)
        return history, (tmp_path / name / "head.safetensors").read_bytes()

    history, whole = run("whole", small_head())
    with pytest.raises(KeyboardInterrupt):
        run("killed", small_head(), checkpoints=tmp_path / "checkpoints", progress=killed)
    resumed_history, resumed = run("resumed", small_head(), checkpoints=tmp_path / "checkpoints")
    assert resumed == whole
    pd.testing.assert_frame_equal(resumed_history, history, check_exact=True)


def test_a_checkpoint_of_other_settings_or_scores_is_not_used(few, tmp_path):
    store, train, val = few
    options = {"checkpoints": tmp_path}
    train_head(small_head(), store, train, val, SETTINGS, **options)
    checkpoint = (tmp_path / "head.safetensors").read_bytes()
    for changed in (
        lambda: train_head(small_head(), store, train, val, with_(lr=1e-3), **options),
        lambda: train_head(small_head(), store, train, val, with_(loss={"huber": 1.0}), **options),
        lambda: train_head(small_head(), store, train.assign(mos=train["mos"] * 2), val, SETTINGS, **options),
        lambda: train_head(small_head(seed=1), store, train, val, SETTINGS, **options),
        lambda: train_head(small_head(dropout=0.2), store, train, val, SETTINGS, **options),
    ):
        _, history = changed()
        assert list(history["epoch"]) == [1, 2, 3]
        assert (tmp_path / "head.safetensors").read_bytes() != checkpoint


def test_predictions_come_in_the_order_asked_for_and_on_the_mos_scale(world):
    store, train, val, test = world
    head = small_head()
    weights, _ = train_head(head, store, train, val, SETTINGS)
    head.load_state_dict(weights)
    ids = list(test["image_id"])[::-1]
    predicted = predict(head, store, ids, batch=7)
    assert list(predicted.index) == ids
    one_by_one = [predict(head, store, [image_id]).iloc[0] for image_id in ids]
    np.testing.assert_allclose(predicted, one_by_one, rtol=1e-5)
    assert abs(predicted.mean() - train["mos"].mean()) < 0.5


def test_moments_of_the_parts_are_those_of_the_whole():
    """Also of columns far from 0, where sums of squares would lose everything, and of constant ones."""
    random = np.random.default_rng(0)
    rows = torch.from_numpy(random.normal([0, 1e6, 1e-3, 0.1], [1, 1e-2, 5, 0], (300, 4)))
    moments = Moments()
    for part in rows.split([1, 99, 200]):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, rows.mean(dim=0), rtol=1e-12)
    np.testing.assert_allclose(moments.scale[:3], rows.std(dim=0, correction=0)[:3], rtol=1e-9)
    assert moments.scale[3] == 1


def test_constant_features_scores_and_single_images_are_survived(tmp_path):
    sequences = {f"i{number}": torch.ones(1, 6) for number in range(4)}
    store = store_of(tmp_path, sequences)
    table = pd.DataFrame({"image_id": list(sequences), "mos": 3.0})
    head = small_head()
    weights, history = train_head(head, store, table[:3], table[3:], SETTINGS)
    head.load_state_dict(weights)
    assert history["val_srcc"].isna().all()
    assert predict(head, store, ["i3"]).iloc[0] == pytest.approx(3.0, abs=0.01)


def test_too_few_images_are_refused(world):
    store, train, val, _ = world
    with pytest.raises(InputError, match="at least 2 training images and 1 to select on, not 1 and 20"):
        train_head(small_head(), store, train[:1], val, SETTINGS)


@pytest.mark.parametrize(
    ("lr", "most", "said"), [(1e38, 5, r"train loss nan in epoch 1"), (1e-3, 1e30, "val loss inf")]
)
def test_a_head_that_diverges_says_what_to_change(world, tmp_path, lr, most, said):
    """While it trains, or from the start on val, whose scores training never saw."""
    store, train, val, _ = world
    with pytest.raises(InputError, match=rf"the head diverged: {said}.*; lower train.lr"):
        train_head(small_head(), store, train, val.assign(mos=most), with_(lr=lr), checkpoints=tmp_path)
    assert not list(tmp_path.iterdir())
