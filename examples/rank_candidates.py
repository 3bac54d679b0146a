"""Rank several images that were generated from one prompt, best first: best-of-N with a judge.

    PYTHONPATH=. python examples/rank_candidates.py "a red cat on a sofa" 1.png 2.png [--aspect NAME] [--bundle BUNDLE]

It prints rank, probability to be the best, and score. Images of one rank cannot be told apart. `m3agiqa rank` does the
same for a table of prompts, and writes files (docs/ranking.md).
"""
# ruff: noqa: INP001 - a program and no package

import argparse
import math

from m3agiqa import Score, Scorer


def place(score: Score) -> float:
    """The highest score comes first, and what has none last."""
    return math.inf if score.score is None else -score.score


def main() -> None:
    parser = argparse.ArgumentParser(description="Rank candidates for one prompt.")
    parser.add_argument("prompt")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--aspect", help="default: the first that the judge has")
    parser.add_argument("--bundle", help="default: the judge that ships")
    given = parser.parse_args()

    scorer = Scorer.load(given.bundle)
    ranked = scorer.rank(given.images, given.prompt, aspect=given.aspect or scorer.aspects[0])
    found = zip(given.images, ranked, strict=True)
    for image, (score, rank, best) in sorted(found, key=lambda each: place(each[1].score)):
        if rank is None:  # damaged, or not to be asked for: it says why, and no score is made up
            print(f"-.  {image}: {score.status}")
        else:
            print(f"{rank}.  {best:4.0%}  {score.score:.2f}  {image}")


if __name__ == "__main__":
    main()
