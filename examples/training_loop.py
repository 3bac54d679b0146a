"""Use the scorer as a reward: a toy generator learns, by policy gradient, what the judge likes.

    PYTHONPATH=. python examples/training_loop.py "a red cat on a sofa" cat.png [--steps 20] [--bundle BUNDLE]

The toy generator changes brightness, contrast and colour of one image; its three numbers are drawn from a normal
distribution, whose mean is what is learnt (REINFORCE; Williams 1992). A real generator takes its place: what matters is
the line with the reward. An image with a warning is unlike all that the judge has learnt from, where its score means
little and a generator ends up that is only trained against it; so here a warning costs a point, and a failed score ends
the run. Where warnings do not matter, `scorer.reward(images, prompts, aspect="quality")` is the tensor at once. Look at
the pictures, too: a reward that rises is not yet a better image.
"""
# ruff: noqa: INP001 - a program and no package

import argparse

import torch
from PIL import Image, ImageEnhance

from m3agiqa import Score, Scorer
from m3agiqa.images import load_image

CHANGES = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
SPREAD = 0.2  # of the numbers that are drawn
WARNING = 1.0  # points off, on the scale 0 to 5


def generate(image: Image.Image, strengths: torch.Tensor) -> Image.Image:
    """The image, changed; a strength of 0 leaves it as it is."""
    for change, strength in zip(CHANGES, strengths.tolist(), strict=True):
        image = change(image).enhance(max(0.0, 1 + strength))
    return image


def reward(score: Score) -> float:
    """What the generator is to make larger."""
    if score.score is None:
        raise SystemExit(f"no reward: {score.status}")
    return score.score_0_5 - WARNING * bool(score.warnings)


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn how to change an image so that the judge likes it better.")
    parser.add_argument("prompt")
    parser.add_argument("image")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundle", help="default: the judge that ships")
    given = parser.parse_args()

    torch.manual_seed(given.seed)
    scorer, image = Scorer.load(given.bundle, batch=given.samples), load_image(given.image)
    mean = torch.zeros(len(CHANGES), requires_grad=True)
    optimiser = torch.optim.Adam([mean], lr=0.05)
    for step in range(1, given.steps + 1):
        policy = torch.distributions.Normal(mean, SPREAD)
        drawn = policy.sample((given.samples,))  # (N, 3)
        images = [generate(image, strengths) for strengths in drawn]
        scores = scorer(images, [given.prompt] * given.samples, aspect="quality")
        rewards = torch.tensor([reward(score) for score in scores])  # (N,)
        advantage = (rewards - rewards.mean()) / (rewards.std() + 1e-6)
        loss = -(policy.log_prob(drawn).sum(dim=1) * advantage).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        strengths = ", ".join(f"{strength:+.2f}" for strength in mean.tolist())
        print(f"step {step}: reward {rewards.mean():.2f}; brightness, contrast, colour {strengths}")


if __name__ == "__main__":
    main()
