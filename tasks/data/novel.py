"""What is novel to a model: letters, pieces of photographs, classes that are held out, a file."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from actsearch.errors import InvalidValueError, UnknownNameError

from .photographs import SAMPLES, load_photograph
from .tables import Labelled, channels_first, read_arrays

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic"),
    *("cmr10", "cmss10", "cmtt10"),
)
"""Fonts that matplotlib ships."""

PIECES = 500
"""Pieces that are cut out of each photograph, at most."""

_BLOCK = 4
_PHOTOGRAPH = 427


@cache
def load_letters(channels: int, height: int, width: int) -> Tensor:
    """Return the 52 Latin letters in 13 fonts ``(676, C, H, W)``, with intensities in [0, 1].

    Made as scikit-learn's digits were: black or white at four times the size, cropped to the
    letter, averaged over blocks of 4×4. Made once a process, so leave them as they are.

    Args:
        channels: C; all are alike.
        height: H, pixels.
        width: W, pixels.
    """
    import matplotlib
    from PIL import ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [ImageFont.truetype(str(folder / f"{name}.ttf"), 128) for name in FONTS]
    drawn = [_letter(c, font, height, width) for font in fonts for c in string.ascii_letters]
    return torch.from_numpy(np.stack(drawn)).unsqueeze(1).expand(-1, channels, -1, -1)


def _letter(character: str, font: object, height: int, width: int) -> np.ndarray:
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (320, 320))
    ImageDraw.Draw(canvas).text((96, 64), character, fill=255, font=font)  # type: ignore[arg-type]
    letter = canvas.crop(canvas.getbbox())
    size = _BLOCK * width, _BLOCK * height
    factor = min(size[0] / letter.width, size[1] / letter.height)
    fitting = [max(1, round(factor * side)) for side in letter.size]
    letter = letter.resize((fitting[0], fitting[1]))
    whole = Image.new("L", size)
    whole.paste(letter, ((size[0] - letter.width) // 2, (size[1] - letter.height) // 2))
    ink: np.ndarray = (np.asarray(whole) > 127).astype(np.float32)
    ink = ink.reshape(height, _BLOCK, width, _BLOCK).mean((1, 3))
    return ink


def load_pieces(channels: int, height: int, width: int) -> Tensor:
    """Return pieces of scikit-learn's two photographs ``(N, C, H, W)``, intensities in [0, 1].

    Args:
        channels: C: 3 for colours, else greys.
        height: H, pixels.
        width: W, pixels.

    Raises:
        InvalidValueError: pieces that are larger than the photographs.
    """
    if max(height, width) > _PHOTOGRAPH:
        raise InvalidValueError(
            f"pieces of photographs must have at most {_PHOTOGRAPH} pixels a side, but got"
            f" {height}×{width}. Choose letters."
        )
    found = []
    for name in SAMPLES:
        picture = load_photograph(name, _PHOTOGRAPH, channels == 3).movedim(-1, 0)
        pieces = picture.unfold(1, height, height).unfold(2, width, width)
        rows = pieces.movedim(0, 2).flatten(0, 1)
        some = torch.linspace(0, len(rows) - 1, min(PIECES, len(rows))).round().long()
        found.append(rows[some])
    cut = torch.cat(found)
    return cut if channels == 3 else cut.expand(-1, channels, -1, -1)


NOVEL: dict[str, Callable[[int, int, int], Tensor]] = {
    "letters": load_letters,
    "photographs": load_pieces,
}
"""Novel images by name: from channels, height and width to intensities in [0, 1]."""


def hold_out(data: Labelled, classes: Sequence[str]) -> tuple[Labelled, np.ndarray]:
    """Return the data without some classes, numbered anew, and the inputs of these.

    Raises:
        UnknownNameError: a class that the data do not have.
        InvalidValueError: none is held out, or fewer than two are left.
    """
    for name in classes:
        if name not in data.classes:
            raise UnknownNameError.among("class", name, data.classes)
    left = tuple(name for name in data.classes if name not in classes)
    if not classes or len(left) < 2:
        raise InvalidValueError(
            f"novel must hold out a class and leave two, but got {len(classes)} of"
            f" {len(data.classes)}."
        )
    out = np.isin(np.array(data.classes)[data.y], classes)
    numbers = np.searchsorted([data.classes.index(name) for name in left], data.y[~out])
    return Labelled(data.x[~out], numbers.astype(np.int64), left), data.x[out]


def read_novel(path: str, shape: tuple[int, ...]) -> Tensor:
    """Return the array ``x`` or ``images`` of an ``.npz`` file; labels are not needed.

    Args:
        path: the file.
        shape: of one input of the model.

    Raises:
        InvalidValueError: no such array, or inputs of another shape.
    """
    arrays = read_arrays(path, ("x", "images"))
    x = next((arrays[name] for name in ("x", "images") if arrays.get(name) is not None), None)
    x = None if x is None else channels_first(x)
    if x is None or x.shape[1:] != shape or not len(x):
        raise InvalidValueError(
            f"{path} must hold an array x or images of inputs of shape {shape}, but got"
            f" {', '.join(arrays) or 'none'} of shape {None if x is None else x.shape}."
        )
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
