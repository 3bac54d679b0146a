"""The rating word as something to learn from: a share for each of the five words, and not one of them alone.

A MOS of 2.9 is "fair" and one of 3.1 is "good", though people saw hardly a difference. Taught the one word, a model
loses what the MOS knew, and learns the images by heart to tell them apart. Taught shares, as a normal curve around the
MOS gives them to the middles of the words' intervals, it learns the MOS: a regression in words (You et al., DeQA-Score,
CVPR 2025, arXiv 2501.11561; one word: Wu et al., Q-Align, ICML 2024, arXiv 2312.17090).
"""

import numpy as np
from numpy.typing import NDArray

from m3agiqa.mllm.conversation import RATING_WORDS, WORD_MIDDLES, word_of


def word_shares(mos: float, spread: float) -> NDArray[np.float64]:
    """(words,), from the worst word to the best, with the sum 1; with a `spread` of 0 all of it is the MOS's own word.

    Raises:
        InputError: `mos` is outside the 0-5 scale, or NaN.
    """
    shares: NDArray[np.float64] = np.zeros(len(RATING_WORDS))
    shares[RATING_WORDS.index(word_of(mos))] = 1.0
    if spread:
        heights = -((mos - np.asarray(WORD_MIDDLES)) ** 2) / (2 * spread**2)
        shares = np.exp(heights - heights.max())
        shares /= shares.sum()
    return shares
