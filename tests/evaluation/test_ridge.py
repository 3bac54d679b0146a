"""Ridges of all penalties at once are those of scikit-learn one by one, and hold no second copy of the rows."""

import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evaluation import ridge
from evaluation.baselines import PENALTIES
from evaluation.rows_on_disk import RowsOnDisk


@pytest.mark.parametrize(("count", "columns"), [(300, 20), (60, 200), (40, 40), (41, 40)])
@pytest.mark.parametrize("block", [1, 1 << 12, 1 << 26])
def test_every_penalty_predicts_as_scikit_learn_does(count, columns, block, monkeypatch):
    """More rows than columns and fewer; a column that is constant, far from 0 or on another scale."""
    monkeypatch.setattr(ridge, "BLOCK_BYTES", block)
    random = np.random.default_rng(0)
    table = random.normal(size=(count + 50, columns)).astype(np.float32)
    table[:, 0], table[:, 1] = 0.1, 1e3 + table[:, 1]
    table[:, 2] *= 1e-4
    mos = table[:, 3] - 2e4 * table[:, 2] + random.normal(size=len(table))
    train = random.permutation(len(table))[:count]
    predicted = ridge.fit(table, train, mos[train], PENALTIES).predict(table)
    for column, penalty in enumerate(PENALTIES):
        one = make_pipeline(StandardScaler(), Ridge(penalty)).fit(table[train].astype(float), mos[train])
        np.testing.assert_allclose(predicted[:, column], one.predict(table.astype(float)), rtol=0, atol=1e-9)


def test_memory_does_not_grow_with_the_rows(monkeypatch):
    monkeypatch.setattr(ridge, "BLOCK_BYTES", 1 << 20)
    random = np.random.default_rng(0)
    peaks = []
    for count in (2000, 16000):
        table, mos = random.normal(size=(count, 256)).astype(np.float32), random.normal(size=count)
        tracemalloc.start()
        ridge.fit(table, np.arange(count), mos, PENALTIES[:1]).predict(table)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 14000 * 256  # bytes: one a number, where a copy has eight


def test_rows_come_from_a_file_as_they_went_in(tmp_path):
    expected = np.random.default_rng(0).normal(size=(23, 8)).astype(np.float32)
    with (tmp_path / "rows").open("w+b") as file:
        rows = RowsOnDisk(file)
        for row in expected[:9]:
            rows.add(row)
        np.testing.assert_array_equal(rows[slice(None)], expected[:9])
        for row in expected[9:]:
            rows.add(row)
        assert rows.shape == (23, 8)
        np.testing.assert_array_equal(rows[slice(None)], expected)
        np.testing.assert_array_equal(rows[np.array([20, 3])], expected[[20, 3]])
        with pytest.raises(ValueError, match="expected 8 numbers a row, got 7"):
            rows.add(expected[0, 1:])
