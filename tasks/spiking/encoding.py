"""What spiking networks are fed with: images as spike trains, and event data."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from actsearch.errors import InvalidValueError

from ..data.tables import Labelled, labelled, read_arrays

SpikeEncoding = Literal["rate", "latency", "direct"]


def encode(
    x: Tensor, encoding: SpikeEncoding, steps: int, generator: torch.Generator | None = None
) -> Tensor:
    r"""Return intensities as a train over time steps.

    - ``rate``: a spike with probability x at each step;
    - ``latency``: one spike, at step :math:`\mathrm{round}((1 - x)(T - 1))`, the earlier the
        brighter; none for x = 0;
    - ``direct``: the intensity itself at every step, a constant current.

    Shapes:
        input ``(N, D)``, output ``(N, T, D)``.

    Args:
        x: intensities in [0, 1].
        encoding: one of these three.
        steps: number of time steps T.
        generator: where ``rate`` draws from; torch's own otherwise.

    >>> encode(torch.tensor([[1.0, 0.5, 0.0]]), "latency", 3)[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    if encoding == "rate":
        shape = (len(x), steps, x.shape[1])
        uniform = torch.rand(shape, generator=generator, device=x.device, dtype=x.dtype)
        return (uniform < x[:, None]).to(x.dtype)
    if encoding == "latency":
        times = torch.round((1 - x) * (steps - 1)).long()
        train = torch.nn.functional.one_hot(times, steps).transpose(1, 2).to(x.dtype)
        return train * (x > 0)[:, None]
    return x[:, None].expand(-1, steps, -1)


def intensities(x: Tensor, train: Tensor) -> Tensor:
    """Return inputs as rows of [0, 1], by the range of the training rows.

    Images have one range of all pixels, tables one of each column. Missing values (NaN) become 0,
    and values outside of the range its ends.
    """
    rows = x.flatten(1)
    seen = rows[train].flatten() if x.ndim > 2 else rows[train]
    finite = torch.where(seen.isnan(), torch.inf, seen)
    low = finite.amin(0)
    high = torch.where(seen.isnan(), -torch.inf, seen).amax(0)
    span = torch.where(high > low, high - low, 1.0)
    return ((rows - low) / span).nan_to_num(0.0).clamp(0, 1)


def read_events(path: str) -> Labelled | None:
    """Return an ``.npz`` file's arrays spikes ``(N, T, ...)`` and labels.

    ``None`` where it has no such arrays.

    Raises:
        InvalidValueError: not an ``.npz`` file, or spikes that are negative or without a time
            dimension.
    """
    arrays = read_arrays(path, ("spikes", "labels"))
    spikes, labels = arrays.get("spikes"), arrays.get("labels")
    if spikes is None or labels is None:
        return None
    if spikes.ndim < 3 or spikes.size == 0:
        raise InvalidValueError(
            f"spikes must have shape (samples, time steps, ...), but got {spikes.shape}."
        )
    found = labelled(spikes.reshape(*spikes.shape[:2], -1), labels)
    if not (found.x >= 0).all():
        raise InvalidValueError(
            f"spikes must be counts of at least 0, but got {float(np.nanmin(found.x))!r}."
        )
    return found
