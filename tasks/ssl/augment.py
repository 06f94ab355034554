"""Random views of images, a whole batch at a time.

Moved, turned, scaled, noisy, with a piece cut out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TURN, SCALE, SHIFT = math.radians(15), 0.15, 0.125  # radians, share, share of the side
CONTRAST, NOISE, CUT = 0.3, 0.2, 0.35  # share, in units of the images' deviation, share of the side


def augment(
    images: Tensor, strength: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    r"""Return one random view of every image.

    Each is turned by up to ±15°, scaled by up to ±15 %, shifted by up to an eighth of its side,
    changed in contrast by up to ±30 %, given Gaussian noise of deviation 0.2, and has a square of
    0.35 of its side set to its darkest value, all times ``strength``. Pixels from outside of the
    image repeat its border.

    Shapes:
        input ``(N, C, H, W)``, output the same.

    Args:
        images: standardised images.
        strength: factor on all of these, at least 0; 0 gives the images back.
        generator: where to draw from; torch's own otherwise.
    """
    if strength == 0:
        return images
    count = len(images)

    def uniform(*shape: int) -> Tensor:  # in (-1, 1)
        drawn = torch.rand(
            count, *shape, generator=generator, device=images.device, dtype=images.dtype
        )
        return 2 * drawn - 1

    angle, scale = strength * TURN * uniform(), 1 + strength * SCALE * uniform()
    shift = 2 * strength * SHIFT * uniform(2)  # the grid's unit is half a side
    cos, sin = scale * angle.cos(), scale * angle.sin()
    affine = torch.stack(
        [torch.stack([cos, -sin, shift[:, 0]], -1), torch.stack([sin, cos, shift[:, 1]], -1)], 1
    )
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    noise = torch.randn(moved.shape, generator=generator, device=images.device, dtype=images.dtype)
    changed = (1 + strength * CONTRAST * uniform(1, 1, 1)) * moved + strength * NOISE * noise
    return _cut(changed, images, min(1.0, strength * CUT), uniform(2))


def _cut(changed: Tensor, images: Tensor, share: float, place: Tensor) -> Tensor:
    """Cut a square out around a random place."""
    height, width = images.shape[-2:]
    rows = torch.linspace(-1, 1, height, device=images.device, dtype=images.dtype)
    columns = torch.linspace(-1, 1, width, device=images.device, dtype=images.dtype)
    inside_rows = (rows - place[:, :1]).abs() <= share
    inside_columns = (columns - place[:, 1:]).abs() <= share
    mask = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
    return torch.where(mask, images.amin((2, 3), keepdim=True), changed)
