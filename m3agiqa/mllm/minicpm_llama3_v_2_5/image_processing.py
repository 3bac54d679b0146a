"""Images as MiniCPM-Llama3-V-2.5 takes them: views cut into patches, the patches of a view in one long strip."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from transformers import BatchFeature, PilBackend
from transformers.image_utils import ImageType, get_image_type, is_scaled_image
from transformers.processing_utils import ImagesKwargs

from m3agiqa.mllm.minicpm_llama3_v_2_5.slicing import slicing


class MiniCPMVImagesKwargs(ImagesKwargs, total=False):
    """What the published preprocessor_config.json sets."""

    max_slice_nums: int
    scale_resolution: int
    patch_size: int
    image_feature_size: int
    norm_mean: list[float]
    norm_std: list[float]


class MiniCPMVImageProcessor(PilBackend):
    """Resizes, slices and patches, with PIL and numpy. Pixels stay bytes, a quarter of what floats take: the model
    normalises them.

    Returns, for the S views of all images, image by image, the whole first and then its slices row by row:

    - `pixel_values` (S, 3, 14, 14·L) uint8: the patches of a view side by side, row by row, padded to the longest.
    - `tgt_sizes` (S, 2): rows and columns of patches of each view.
    - `patch_attention_mask` (S, L) bool: the patches that the vision tower attends to, as many for every view of an
      image as its largest view has. The published code masks no padding, so that it is part of what is seen; with one
      image at a time that is the padding within an image, and here no other image adds to it. Left out where all True.
    - `grids` (images, 2): columns and rows of slices, 0 and 0 where there are none; for the processor, not the model.
    """

    valid_kwargs = MiniCPMVImagesKwargs
    model_input_names = ["pixel_values", "tgt_sizes", "patch_attention_mask"]  # noqa: RUF012 (as the base class has it)

    resample = Image.Resampling.BICUBIC
    max_slice_nums = 9
    scale_resolution = 448
    patch_size = 14
    image_feature_size = 96  # vectors that the model makes of a view
    norm_mean = norm_std = [0.5, 0.5, 0.5]  # noqa: RUF012 (likewise)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name in ("norm_mean", "norm_std"):  # modeling.normalised
            if list(getattr(self, name)) != getattr(type(self), name):
                raise ValueError(f"{name} is {getattr(self, name)}: only the published {getattr(type(self), name)}")

    # The base class names its own settings in these two, and gives what it makes as numpy's arrays.
    def process_image(self, image: Any, **kwargs: Any) -> Image.Image:  # type: ignore[override]
        """Any input as an RGB image of PIL's, whose resize is the one that the model was trained with.

        Arrays and tensors hold 0 to 255, or 0 to 1.
        """
        if get_image_type(image) != ImageType.PIL:
            image = Image.fromarray(_bytes(super().process_image(image, **kwargs)))
        converted: Image.Image = image.convert("RGB")
        return converted

    def _preprocess(  # type: ignore[override]
        self,
        images: Sequence[Image.Image],
        *,
        max_slice_nums: int,
        scale_resolution: int,
        patch_size: int,
        resample: int,
        return_tensors: str | None = None,
        **_: Any,
    ) -> BatchFeature:
        views, grids = [], []
        for image in images:
            plan = slicing(image.size, max_slices=max_slice_nums, side=scale_resolution, patch=patch_size)
            seen = [np.asarray(image.resize(plan.whole, resample))]
            if plan.grid is not None and plan.refined is not None:
                seen += _cut(np.asarray(image.resize(plan.refined, resample)), *plan.grid)
            views.append(seen)
            grids.append(plan.grid or (0, 0))
        sizes = [(view.shape[0] // patch_size, view.shape[1] // patch_size) for seen in views for view in seen]
        lengths = np.array(sizes).prod(axis=1)  # (S,)
        longest = int(lengths.max())

        pixels = np.zeros((len(sizes), 3, patch_size, patch_size * longest), np.uint8)
        attended = np.zeros((len(sizes), longest), bool)
        start = 0
        for seen in views:
            end = start + len(seen)
            attended[start:end, : lengths[start:end].max()] = True
            for row, view in enumerate(seen, start):
                pixels[row, :, :, : patch_size * lengths[row]] = _strip(view, patch_size)
            start = end
        data = {"pixel_values": pixels, "tgt_sizes": np.array(sizes), "grids": np.array(grids)}
        if not attended.all():
            data["patch_attention_mask"] = attended
        return BatchFeature(data, tensor_type=return_tensors)


def _bytes(pixels: np.ndarray) -> np.ndarray:
    """(C, H, W) of any type → (H, W, C) of bytes; (H, W) where there is one channel."""
    if is_scaled_image(pixels):
        pixels = pixels * 255.0
    if not (pixels.min() >= 0 and pixels.max() <= 255):
        raise ValueError(f"pixels from {pixels.min()} to {pixels.max()}, expected 0 to 255, or 0 to 1")
    channels_last: np.ndarray = np.moveaxis(np.rint(pixels).astype(np.uint8), 0, -1)
    return channels_last.squeeze(-1) if channels_last.shape[-1] == 1 else channels_last


def _cut(image: np.ndarray, columns: int, rows: int) -> list[np.ndarray]:
    """(H, W, 3) into rows × columns equal slices, row by row."""
    return [part for band in np.split(image, rows, axis=0) for part in np.split(band, columns, axis=1)]


def _strip(view: np.ndarray, patch: int) -> np.ndarray:
    """(H, W, 3) as its patches side by side, row by row: (3, patch, patch · number of patches)."""
    rows, columns = view.shape[0] // patch, view.shape[1] // patch
    patches = view.reshape(rows, patch, columns, patch, 3).transpose(4, 1, 0, 2, 3)  # (3, patch, rows, columns, patch)
    return patches.reshape(3, patch, -1)
