"""Prices and implied volatilities of calls on a forward of 1, before discounting."""

from __future__ import annotations

import math

import torch
from torch import Tensor

HALVINGS = 60
"""Of the interval in which an implied volatility lies."""

LARGEST_DEVIATION = 10.0
"""Standard deviation to maturity that is looked for at most."""


def normal_density(x: Tensor) -> Tensor:
    """Return the density of a standard normal variable."""
    return torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)


def black_price(moneyness: Tensor, deviation: Tensor) -> Tensor:
    r"""Return :math:`\mathbb E \max(0, X - k)` of a lognormal X with mean 1.

    .. math:: c(k, s) = \Phi(d) - k \, \Phi(d - s), \qquad d = s / 2 - \ln(k) / s

    Args:
        moneyness: strike over forward, k, above 0.
        deviation: volatility times the root of maturity, s, above 0.

    References:
        The pricing of options and corporate liabilities, F. Black and M. Scholes, 1973,
        https://doi.org/10.1086/260062
    """
    d = deviation / 2 - moneyness.log() / deviation
    price: Tensor = torch.special.ndtr(d) - moneyness * torch.special.ndtr(d - deviation)
    return price


def black_vega(moneyness: Tensor, deviation: Tensor) -> Tensor:
    """Return the derivative of :func:`black_price` by the deviation."""
    return normal_density(deviation / 2 - moneyness.log() / deviation)


def implied_deviation(price: Tensor, moneyness: Tensor) -> Tensor:
    """Return the deviation that has a price, by halving; NaN where none has.

    That is where a price is not above intrinsic value, max(0, 1 - k), and below 1.
    """
    low, high = torch.zeros_like(price), torch.full_like(price, LARGEST_DEVIATION)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = black_price(moneyness, middle) < price
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    known = (price > (1 - moneyness).clamp_min(0)) & (price < 1)
    return middle.where(known, torch.nan)
