"""How well a model in training rates the val images: by the word that it would say, and by how likely all five are."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evaluation.metrics import srcc
from m3agiqa.mllm.conversation import RATING_WORDS, WORD_MIDDLES, word_of


class Rated(NamedTuple):
    """What a model says of some images, and what people do."""

    words: Tensor  # (B, words): log-probabilities, from the worst word to the best
    mos: Tensor  # (B,), on the 0-5 scale


class Rating(NamedTuple):
    """Agreement on all images; NaN where it cannot be told."""

    word_accuracy: float  # share of the images whose likeliest word is that of the MOS
    srcc: float  # of the expected word (Wu et al., Q-Align, ICML 2024, arXiv 2312.17090)


def rating(images: Rated) -> Rating:
    words, mos = images.words.double(), images.mos.double().numpy()
    if not words.isfinite().all():  # it has diverged, as the loss will tell
        return Rating(math.nan, math.nan)
    right = [
        RATING_WORDS[level] == word_of(score) for level, score in zip(words.argmax(dim=1).tolist(), mos, strict=True)
    ]
    expected = words.softmax(dim=1) @ torch.tensor(WORD_MIDDLES, dtype=torch.float64)  # (N,)
    ranked = srcc(expected.numpy(), mos)
    return Rating(float(np.mean(right)), math.nan if ranked is None else ranked)
