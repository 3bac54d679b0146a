"""Baselines on a small made-up table: they learn what they may know, and cannot see what they may not."""

from unittest import mock

import numpy as np
import pandas as pd
import pytest

from evaluation import baselines, metrics


def made_up(images: int = 240) -> baselines.Rows:
    """Every column tells something of the MOS: half of it comes from the generator, half from the image."""
    rng = np.random.default_rng(5)
    generator, fault = rng.integers(0, 4, images), rng.uniform(0, 1, images)
    mos = 1 + 0.5 * generator + 2 * (1 - fault)
    table = pd.DataFrame(
        {
            "image_id": [f"i{row:03d}" for row in range(images)],
            "split": np.where(np.arange(images) % 4 == 3, "test", np.where(np.arange(images) % 4 == 2, "val", "train")),
            "mos": mos,
            "prompt": [f"{1 + row % 3} red balls" for row in range(images)],
            "generator": [f"g{number}" for number in generator],
            "description": [
                "very blurred" if value > 0.6 else "a bit soft" if value > 0.3 else "sharp" for value in fault
            ],
            "level": np.floor(mos).astype(int),
            "expected": mos + rng.normal(0, 0.1, images),
            "piqe": 20 + 60 * fault,
        }
    )
    measurements = pd.DataFrame({"sharpness": 3 - 2 * fault + rng.normal(0, 0.2, images), "same": np.ones(images)})
    states = np.outer(mos, rng.normal(size=16)).astype(np.float32) + rng.normal(size=(images, 16)).astype(np.float32)
    vision = np.outer(1 - fault, rng.normal(size=6)).astype(np.float32) + rng.normal(0, 0.3, (images, 6))
    return baselines.Rows(table, measurements, states, vision.astype(np.float32))


def changed(rows: baselines.Rows, **columns: object) -> baselines.Rows:
    return baselines.Rows(rows.table.assign(**columns), rows.measurements, rows.states, rows.vision)


@pytest.fixture(scope="module")
def rows():
    return made_up()


@pytest.fixture(scope="module")
def truth():
    """The test images' MOS, which `Rows` takes away."""
    fault = np.random.default_rng(5)
    generator, fault = fault.integers(0, 4, 240), fault.uniform(0, 1, 240)
    return (1 + 0.5 * generator + 2 * (1 - fault))[3::4]


@pytest.fixture(scope="module")
def predictions(rows):
    return baselines.predict_all(rows)


def on_test(rows, predicted):
    return predicted[rows.where("test")]


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_beats_chance(name, rows, predictions, truth):
    assert predictions[name].shape == (240,)
    assert metrics.srcc(on_test(rows, predictions[name]), truth) > 0.4


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_never_sees_a_test_label(name, rows, predictions, truth):
    labels = rows.table["mos"].copy()
    labels[rows.where("test")] = np.random.default_rng(0).permutation(truth)
    again = baselines.BASELINES[name](changed(rows, mos=labels))
    np.testing.assert_array_equal(again, predictions[name])


def test_test_labels_are_taken_away(rows):
    assert rows.table.loc[rows.where("test"), "mos"].isna().all()
    assert rows.table.loc[rows.where("train"), "mos"].notna().all()


@pytest.mark.parametrize("name", ["tfidf_prompt_generator", "pixel_measurements", "vision_tower", "mean_hidden_states"])
def test_val_only_chooses_the_penalty(name, rows):
    """A validation part ten points higher would move a fit that learns from it."""
    labels = rows.table["mos"].copy()
    labels[rows.where("val")] += 10
    moved = baselines.BASELINES[name](changed(rows, mos=labels))
    assert moved.max() < 6


RIDGES = ["tfidf_prompt_generator", "tfidf_description", "pixel_measurements", "vision_tower", "mean_hidden_states"]


@pytest.mark.parametrize("name", RIDGES)
@pytest.mark.parametrize("penalty", [baselines.PENALTIES[0], baselines.PENALTIES[3], baselines.PENALTIES[-1]])
def test_the_penalty_is_that_of_the_fit_that_is_right_on_val(name, penalty, rows):
    with mock.patch.object(baselines, "PENALTIES", [penalty]):
        fit = baselines.BASELINES[name](rows)
    labels = rows.table["mos"].copy()
    labels[rows.where("val")] = fit[rows.where("val")]
    np.testing.assert_allclose(baselines.BASELINES[name](changed(rows, mos=labels)), fit, rtol=1e-12)


def test_generator_mean_is_the_training_mean(rows, predictions):
    train = rows.table[rows.table["split"] == "train"]
    test = rows.table[rows.table["split"] == "test"]
    expected = test["generator"].map(train.groupby("generator")["mos"].mean())
    np.testing.assert_allclose(on_test(rows, predictions["generator_mean"]), expected)


def test_an_unseen_generator_gets_the_mean_of_all(rows):
    names = rows.table["generator"].where(rows.table["split"] == "train", "new")
    predicted = baselines.generator_mean(changed(rows, generator=names))
    np.testing.assert_allclose(on_test(rows, predicted), rows.mos("train").mean())


def test_the_expected_word_is_taken_as_it_is(rows, predictions):
    np.testing.assert_array_equal(predictions["expected_word"], rows.table["expected"])


def test_student_word_is_the_middle_of_its_interval(rows, predictions):
    np.testing.assert_array_equal(predictions["student_word"] % 1, 0.5)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("generator_mean", {"generator": ""}),
        ("generator_prompt_mean", {"prompt": ""}),
        ("generator_prompt_mean", {"prompt": [f"a prompt of its own {row}" for row in range(240)]}),
        ("piqe", {"piqe": 100.0}),
        ("tfidf_prompt_generator", {"prompt": ""}),
        ("tfidf_prompt_generator", {"prompt": "?!"}),
        ("tfidf_description", {"description": " "}),
    ],
)
def test_what_cannot_be_computed_is_none_with_a_warning(name, columns, rows, caplog):
    assert baselines.predict_all(changed(rows, **columns))[name] is None
    assert f"baseline {name}: null" in caplog.text


def test_prompts_in_any_script(rows):
    prompts = ["деревня за рекой" if row % 2 else "一只红球 في الليل" for row in range(len(rows.table))]
    assert baselines.predict_all(changed(rows, prompt=prompts))["tfidf_prompt_generator"] is not None


def test_tables_of_different_length_are_refused(rows):
    with pytest.raises(ValueError, match="differ in length"):
        baselines.Rows(rows.table, rows.measurements.iloc[1:], rows.states, rows.vision)


def test_piqe_keeps_its_own_direction(rows):
    """Also where the training images say the opposite."""
    ours = baselines.piqe(rows)
    backwards = baselines.piqe(changed(rows, piqe=100 - rows.table["piqe"]))
    assert metrics.srcc(ours, backwards) == pytest.approx(-1)
    assert np.corrcoef(ours, rows.table["piqe"])[0, 1] < 0


def test_a_shared_prompt_tells_its_level(rows):
    level = np.arange(240) // 4 % 8  # of eight prompts, each with images in every part
    table = changed(rows, prompt=[f"prompt {number}" for number in level], generator="").table
    known = table.assign(mos=table["mos"].mask(table["split"] != "test", level / 2.0))
    predicted = baselines.generator_prompt_mean(baselines.Rows(known, rows.measurements, rows.states, rows.vision))
    assert metrics.srcc(on_test(rows, predicted), on_test(rows, level)) > 0.95


def test_the_best_is_chosen_on_val_alone(rows, predictions):
    """A prophet of the test labels that is wrong on val is not the one to beat."""
    prophet = np.random.default_rng(1).normal(size=240)
    assert baselines.best_on_val(rows, {**predictions, "prophet": prophet}) == baselines.best_on_val(rows, predictions)
    val = rows.where("val")
    seer = np.zeros(240)
    seer[val] = rows.mos("val")
    assert baselines.best_on_val(rows, {**predictions, "seer": seer, "none": None}) == "seer"
    assert baselines.best_on_val(rows, {"none": None}) is None
