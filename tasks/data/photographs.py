"""Photographs as arrays: scikit-learn's two, or a picture file of one's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from actsearch.errors import InvalidValueError, UnknownNameError

SAMPLES = ("china", "flower")


@cache
def load_photograph(image: str, size: int, colour: bool = False) -> Tensor:
    """Return a picture ``(size, size, C)`` with intensities in [0, 1].

    Read once a process, so leave it as it is.

    Args:
        image: ``china``, ``flower``, or a picture file that Pillow reads, of 8 bits a channel.
        size: pixels of a side, at most those of the picture's shorter one.
        colour: whether it has three channels rather than its luma (ITU-R 601).

    Raises:
        UnknownNameError: neither a known name nor a file.
        InvalidValueError: a file that is no such picture, or a picture smaller than ``size``.
    """
    from PIL import Image, ImageOps

    if image in SAMPLES:
        from sklearn.datasets import load_sample_image

        found: Image.Image = Image.fromarray(load_sample_image(f"{image}.jpg"))
    elif not Path(image).expanduser().is_file():
        raise UnknownNameError.among("image", image, SAMPLES, "Or a picture file.")
    else:
        try:
            with Image.open(Path(image).expanduser()) as file:
                found = ImageOps.exif_transpose(file)  # a copy, whose pixels are read
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidValueError(
                f"image must be a picture that Pillow reads, but got {image!r}: {reason}."
            ) from None
    if found.mode[0] in "IF":
        raise InvalidValueError(
            f"image must have 8 bits a channel, but got {image!r} of mode {found.mode}. Convert it"
            " to an 8-bit file."
        )
    side = min(found.size)
    if size > side:
        raise InvalidValueError(
            f"size must be at most the picture's {side} pixels, but got {size}."
        )
    left, top = (found.width - side) // 2, (found.height - side) // 2
    square = found.convert("RGB" if colour else "L").resize(
        (size, size), Image.Resampling.BOX, box=(left, top, left + side, top + side)
    )
    return torch.from_numpy(np.asarray(square, dtype=np.float32) / 255).view(size, size, -1)
