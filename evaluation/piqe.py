"""PIQE: how distorted an image looks, from its pixels alone, with nothing learnt.

Venkatanath et al., "Blind image quality evaluation using perception based features" (NCC 2015). Blocks of
16 x 16 pixels count where something is to be seen in them; each such block is charged for artefacts (a
piece of its border is flat though the block is not) and for noise (its middle differs from the rest as
little as noise does). The image's score is the mean charge.

On the five calibration images of pyiqa (TID2013's I03, I04, I06, I08, I19 distorted) it gives 100.00, 21.62, 35.86,
41.15 and 76.95, the values published there.

It is the field's only classical no-reference metric without a model file. BRISQUE and NIQE need one, and
no library that is kept up and works here brings it along.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

BLOCK = 16  # pixels a side
SEGMENT = 6  # pixels of a border that are judged together
ACTIVE = 0.1  # variance above which a block counts
FLAT = 0.1  # standard deviation below which a segment is an artefact


def piqe(image: Image.Image) -> float:
    """The score of an RGB image: 0 (no distortion to be seen) to 100. An image without any active block has 100."""
    blocks = _blocks(_normalised(image))  # (N, 16, 16)
    variance = blocks.var(axis=(1, 2), ddof=1)
    active = variance > ACTIVE
    if not active.any():
        return 100.0
    blocks, variance = blocks[active], variance[active]
    charge = _has_artefact(blocks) * (1 - variance) + _is_noisy(blocks, variance) * variance
    return float(100 * (charge.sum() + 1) / (len(blocks) + 1))


def _normalised(image: Image.Image) -> np.ndarray:
    """Luma, stretched to 255, mean-subtracted and contrast-normalised (MSCN), padded to whole blocks: (H, W)."""
    luma = np.asarray(image.convert("L"), float)
    luma = np.pad(luma, [(0, -side % BLOCK) for side in luma.shape], mode="symmetric")
    luma = np.rint(255 * luma / max(luma.max(), 1))
    mean, square = (ndimage.gaussian_filter(plane, 7 / 6, radius=3, mode="nearest") for plane in (luma, luma**2))
    normalised: np.ndarray = (luma - mean) / (np.sqrt(np.abs(square - mean**2)) + 1)
    return normalised


def _blocks(plane: np.ndarray) -> np.ndarray:
    """(H, W) -> (N, 16, 16)"""
    rows, columns = (side // BLOCK for side in plane.shape)
    return plane.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)


def _has_artefact(blocks: np.ndarray) -> np.ndarray:
    borders = np.stack([blocks[:, 0], blocks[:, -1], blocks[:, :, 0], blocks[:, :, -1]], axis=1)  # (N, 4, 16)
    segments = np.lib.stride_tricks.sliding_window_view(borders, SEGMENT, axis=2)  # (N, 4, 11, 6)
    flat: np.ndarray = (segments.std(axis=3, ddof=1) < FLAT).any(axis=(1, 2))
    return flat


def _is_noisy(blocks: np.ndarray, variance: np.ndarray) -> np.ndarray:
    middle = [BLOCK // 2 - 1, BLOCK // 2]
    centre = blocks[:, :, middle].reshape(len(blocks), -1)
    beside = [BLOCK // 2 - 1, BLOCK // 2 + 1]  # not `middle`: the reference leaves these two out, and is followed
    surround = np.delete(blocks, beside, axis=2).reshape(len(blocks), -1)
    spread = surround.std(axis=1, ddof=1)
    ratio = np.divide(centre.std(axis=1, ddof=1), spread, out=np.zeros_like(spread), where=spread > 0)
    deviation = np.sqrt(variance)
    noisy: np.ndarray = deviation > 2 * np.abs(deviation - ratio) / np.maximum(deviation, ratio)
    return noisy
