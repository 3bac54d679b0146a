"""What can be measured in the pixels of an image without knowing what it shows.

Ten classical measures, each from its source, in numpy and scipy. They work on luma, Y = .299 R +
.587 G + .114 B (ITU-R BT.601), in levels 0 to 255. All are finite for any image; a constant image
is unsharp, noiseless and without contrast.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

MEASURES = (
    "sharpness",
    "blur",
    "noise",
    "contrast",
    "colourfulness",
    "cast",
    "blockiness",
    "banding",
    "brightness",
    "clipping",
)


def measure(image: Image.Image) -> dict[str, float]:
    """Measure an RGB image. The keys come in the order of `MEASURES`.

    - sharpness: variance of the Laplacian (Pech-Pacheco et al., ICPR 2000), log10 of levels squared
      plus 1; 0 to about 5.5. Fine texture and noise raise it as focus does.
    - blur: how little is lost when blurred again (Crété-Roffet et al., SPIE 6492, 2007); 0 sharp to 1.
    - noise: standard deviation by the difference of two Laplacians (Immerkær, CVIU 64, 1996), levels;
      from 0. The median in place of the mean (Donoho and Johnstone 1994) lets texture count less.
    - contrast: RMS contrast (Peli, JOSA A 7, 1990), the standard deviation of luma / 255; 0 to .5.
    - colourfulness: M3 of Hasler and Süsstrunk (SPIE 5007, 2003); 0 grey, 15 slight, 109 extreme.
    - cast: distance of the mean colour from grey (grey-world hypothesis, Buchsbaum 1980), in the
      opponent axes of colourfulness, levels; from 0.
    - blockiness: mean step across the boundaries of 8 x 8 blocks over the mean step elsewhere (as in
      Wang, Sheikh and Bovik, ICIP 2002); 1 without blocks. It sees only a grid that was not rescaled.
    - banding: share of isolated steps with flat pixels on both sides, the false contours of too few
      levels (after Tu et al., ICASSP 2020), off the boundaries of blocks, log10(1 + 1000 share); 0 to 3.
    - brightness: mean luma / 255; 0 to 1.
    - clipping: share of pixels with luma of at most 2 or at least 253; 0 to 1.
    """
    rgb = np.asarray(image, dtype=np.float32)  # (H, W, 3)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    steps = np.diff(luma, axis=0), np.diff(luma, axis=1)

    inner = luma[1:-1, 1:-1]
    cross = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    corners = luma[:-2, :-2] + luma[:-2, 2:] + luma[2:, :-2] + luma[2:, 2:]
    laplacian = cross - 4 * inner
    residue = corners - 2 * cross + 4 * inner  # Immerkær's mask, the difference of two Laplacians

    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    mean = float(np.hypot(red_green.mean(), yellow_blue.mean()))
    spread = float(np.hypot(red_green.std(), yellow_blue.std()))
    values = (
        np.log10(1 + laplacian.var()),
        _blur(luma, steps),
        np.median(np.abs(residue)) / (0.6745 * 6),
        luma.std() / 255,
        spread + 0.3 * mean,
        mean,
        _blockiness(steps),
        _banding(luma),
        luma.mean() / 255,
        ((luma <= 2) | (luma >= 253)).mean(),
    )
    return dict(zip(MEASURES, map(float, values), strict=True))


def _blur(luma: np.ndarray, steps: tuple[np.ndarray, np.ndarray]) -> float:
    """Of the steps along each axis, the share that a mean over 9 pixels keeps; the worse axis counts."""
    kept = []
    for axis, step in enumerate(steps):
        before = np.abs(step)
        after = np.abs(np.diff(ndimage.uniform_filter1d(luma, 9, axis=axis), axis=axis))
        total = before.sum()
        lost = np.maximum(before - after, 0).sum()
        kept.append(1 - lost / total if total > 0 else 1.0)
    return max(kept)


def _blockiness(steps: tuple[np.ndarray, np.ndarray]) -> float:
    """One strong edge must not pass for a block: steps count up to 16 levels."""
    ratios = []
    for axis, step in enumerate(steps):
        profile = np.minimum(np.abs(step), 16).mean(axis=1 - axis)  # mean step at each position
        boundary = np.arange(len(profile)) % 8 == 7
        ratios.append((profile[boundary].mean() + 0.1) / (profile[~boundary].mean() + 0.1))
    return float(np.mean(ratios))


def _banding(luma: np.ndarray) -> float:
    levels = np.rint(luma).astype(np.int16)
    shares = []
    for axis in (0, 1):
        step = np.abs(np.diff(levels, axis=axis)).swapaxes(0, axis)
        flat = step == 0
        middle = step[2:-2]  # one level is a gradient, and 90 may be an edge of what is shown
        isolated = (middle >= 2) & (middle <= 90) & flat[:-4] & flat[1:-3] & flat[3:-1] & flat[4:]
        shares.append(isolated[np.arange(2, len(step) - 2) % 8 != 7].mean())
    return float(np.log10(1 + 1000 * np.mean(shares)))
