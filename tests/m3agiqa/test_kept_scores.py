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
    scores, batches = KeptScores(journal, count), [range(start, count, count // 10) for start in range(count // 10)]
    for start, rows in enumerate(batches):
        scores.add(str(start), [score_of(row) for row in rows])
    for start, rows in reversed(list(enumerate(batches))):
        assert scores.has(str(start), len(rows))
        scores.assign(str(start), rows)
    return scores


def test_each_image_gets_its_own_also_from_a_journal_of_before(tmp_path):
    images = [ListedImage(f"{row}.png", Path(f"{row}.png"), "") for row in range(1000)]
    with Journal(tmp_path / "journal.jsonl") as journal:
        first = [row.scores for row in ScoredImages(images, [keep(journal, 1000)])]
    assert first == [[score_of(row)] for row in range(1000)]
    with Journal(tmp_path / "journal.jsonl") as journal:
        again = KeptScores(journal, 2)
        assert again.has("3", 10)
        again.assign("3", [1, 0])
        assert (again[1], again[0]) == (score_of(3), score_of(103))
        assert not again.has("100", 10)


def test_of_a_batch_that_was_cut_nothing_counts(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        keep(journal, 30)
    whole = path.read_bytes().splitlines(keepends=True)
    for kept in range(20, 30):
        path.write_bytes(b"".join(whole[:kept]) + whole[kept][:5])
        with Journal(path) as journal:
            scores = KeptScores(journal, 30)
            assert [scores.has(name, 10) for name in "012"] == [True, True, False]
            scores.add("3", [score_of(0)])
            scores.add("2", [score_of(row) for row in range(10)])
        with Journal(path) as journal:
            scores = KeptScores(journal, 10)
            assert scores.has("2", 10)
            scores.assign("2", range(10))
            assert [scores[row] for row in range(10)] == [score_of(row) for row in range(10)]


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
