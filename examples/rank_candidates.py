"""Rank several images that were generated from one prompt, best first: best-of-N with a judge.

    PYTHONPATH=. python examples/rank_candidates.py "a red cat on a sofa" 1.png 2.png 3.png [--bundle BUNDLE]

The rank is by the mean over all aspects of the judge (the one that ships, or a bundle), on 0 to 5 whatever scales
people rated them on. Scores whose intervals overlap are not surely apart.
"""
# ruff: noqa: INP001 - a program and no package

import argparse

from m3agiqa import Scorer


def main() -> None:
    parser = argparse.ArgumentParser(description="Rank candidates for one prompt.")
    parser.add_argument("prompt")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--bundle", help="default: the judge that ships")
    given = parser.parse_args()

    scorer = Scorer.load(given.bundle)
    prompts = [given.prompt] * len(given.images)
    by_aspect = [scorer(given.images, prompts, aspect=aspect) for aspect in scorer.aspects]
    means, failures = {}, {}
    for image, scores in zip(given.images, zip(*by_aspect, strict=True), strict=True):
        if missing := [score for score in scores if score.score is None]:
            failures[image] = missing[0].status
        else:
            means[image] = sum(score.score_0_5 for score in scores) / len(scores), scores
    ranked = sorted(means, key=lambda image: -means[image][0])
    for rank, image in enumerate(ranked, start=1):
        mean, scores = means[image]
        print(f"{rank}. {mean:.2f}  {image}  " + ", ".join(f"{score.aspect} {score.score_0_5:.2f}" for score in scores))
    for image, status in failures.items():
        print(f"-.  –    {image}  {status}")


if __name__ == "__main__":
    main()
