"""What production and decay make of a substance between measured times."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

GAUSS_POINTS = 5
"""Points of Gauss and Legendre between two samples."""


class Course(nn.Module):
    r"""Solution of a linear decay under a production that is known, at the times of the samples.

    .. math:: x(t) = x_0 e^{-\gamma (t - t_0)} + \int_{t_0}^t e^{-\gamma (t - s)} p(s) \, ds

    Time is in units of the whole course. The decay is exact, and the integral is by Gauss'
    quadrature between each two samples; there the regulator is a monotone cubic through its own
    samples (PCHIP), so that it stays at least 0.

    Args:
        time: of the samples ``(T,)``, rising.
        regulators: at these ``(T, G)``; NaN where a value is missing.

    References:
        Monotone Piecewise Cubic Interpolation, F. Fritsch and R. Carlson, 1980,
        https://doi.org/10.1137/0717021
    """

    time: Tensor
    nodes: Tensor
    weights: Tensor
    ages: Tensor
    lags: Tensor
    later: Tensor

    def __init__(self, time: Tensor, regulators: Tensor) -> None:
        from scipy.interpolate import PchipInterpolator

        super().__init__()
        places, weights = (
            torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(GAUSS_POINTS)
        )
        self.span = float(time[-1] - time[0])
        steps = time.diff()[:, None]
        at = time[:-1, None] + steps * (places + 1) / 2
        curves = []
        for column in regulators.T:
            seen = column.isfinite()
            # Before its first sample and after its last, a regulator is what it was there.
            inside = at.clamp(float(time[seen][0]), float(time[seen][-1]))
            curves.append(PchipInterpolator(time[seen], column[seen])(inside.numpy()))
        self.register_buffer("time", time.clone())
        self.register_buffer(
            "nodes", torch.from_numpy(np.stack(curves, -1)).clamp_min(0).flatten(0, 1)
        )
        self.register_buffer("weights", (steps * weights / 2 / self.span)[..., None])
        self.register_buffer("ages", (time[1:, None] - at)[..., None] / self.span)
        lags = time[:, None] - time[1:]
        self.register_buffer("lags", lags.clamp_min(0)[..., None] / self.span)
        self.register_buffer("later", (lags >= 0)[..., None])

    def elapsed(self) -> Tensor:
        """Return the time since the first sample ``(T, 1)``."""
        return (self.time - self.time[0])[:, None] / self.span

    def forward(self, production: Tensor, decay: Tensor) -> Tensor:
        r"""Return the integral at the samples ``(T, G)``.

        Args:
            production: at the nodes ``((T - 1) 5, G)``.
            decay: :math:`\gamma` ``(G,)``.
        """
        each = production.view(len(self.time) - 1, GAUSS_POINTS, -1)
        made = (self.weights * torch.exp(-decay * self.ages) * each).sum(1)
        left = torch.exp(-decay * self.lags) * self.later
        return torch.einsum("ijg,jg->ig", left, made)

    def rows(self, time: Tensor) -> Tensor:
        """Return which samples times ``(N, 1)`` are."""
        return torch.searchsorted(self.time, time[:, 0].contiguous()).clamp_max(len(self.time) - 1)
