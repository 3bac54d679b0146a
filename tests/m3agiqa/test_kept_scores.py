"""Scores that are read when they are asked for: each image's own, and no more memory for more of them."""

import gc
import tracemalloc
from pathlib import Path

from m3agiqa.image_list import ListedImage
from m3agiqa.journal import Journal
from m3agiqa.kept_scores import KeptScores, ScoredImages
from m3agiqa.score import Interval, Score


def score_of(row: int) -> Score:
    if row % 7 == 3:
        return Score("quality", "failed: why")
    return Score("quality", "ok", row / 100, Interval(0.0, 5.0), "good", f"{row} " + "what is said " * 40, ("size",))


def keep(journal: Journal, count: int) -> KeptScores:
    """Scored in batches of ten, of rows far apart, as those of like prompts are."""
    scores = KeptScores(journal, count)
    for start in range(count // 10):
        rows = range(start, count, count // 10)
        scores.add([str(row) for row in rows], [score_of(row) for row in rows])
    for row in range(count):
        scores.assign(row, str(row))
    return scores


def test_each_image_gets_its_own_also_from_a_journal_of_before(tmp_path):
    images = [ListedImage(f"{row}.png", Path(f"{row}.png"), "") for row in range(1000)]
    with Journal(tmp_path / "journal.jsonl") as journal:
        first = [row.scores for row in ScoredImages(images, [keep(journal, 1000)])]
    assert first == [[score_of(row)] for row in range(1000)]
    with Journal(tmp_path / "journal.jsonl") as journal:
        again = KeptScores(journal, 3)
        assert "103" in again
        for row, name in enumerate(("103", "3", "103")):
            again.assign(row, name)
        assert [again[row] for row in range(3)] == [score_of(103), score_of(3), score_of(103)]
        assert "1000" not in again


def test_of_a_batch_that_was_cut_nothing_counts(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        keep(journal, 30)
    whole = path.read_bytes().splitlines(keepends=True)
    for kept in range(20, 30):
        path.write_bytes(b"".join(whole[:kept]) + whole[kept][:5])
        with Journal(path) as journal:
            scores = KeptScores(journal, 1)
            assert [str(row) in scores for row in range(30)] == [row % 3 != 2 for row in range(30)]
            scores.add(["more"], [score_of(7)])
            scores.add(["2", "5"], [score_of(2), score_of(5)])
        with Journal(path) as journal:
            scores = KeptScores(journal, 3)
            for row, name in enumerate(("5", "more", "0")):
                scores.assign(row, name)
            assert [scores[row] for row in range(3)] == [score_of(5), score_of(7), score_of(0)]
            assert "8" not in scores


def test_memory_does_not_grow_with_the_images(tmp_path):
    peaks = []
    for count in (200, 1_000):
        image = ListedImage("a.png", Path("a.png"), "")
        with Journal(tmp_path / f"{count}.jsonl") as journal:
            rows = ScoredImages([image] * count, [keep(journal, count)])
            gc.collect()
            tracemalloc.start()
            assert sum(len(row.scores) for row in rows) == count
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
