"""Quotes of calls: of Black and Scholes, of Heston, or from a file."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError, UnknownNameError

from ..data.columns import read_columns, read_header
from .black_scholes import black_price

SPOT, RATE, MATURITY, VOLATILITY = 100.0, 0.03, 0.5, 0.25
"""Of Black and Scholes' quotes."""

REQUIRED = ("strike", "maturity", "spot", "rate", "dividend")


@dataclass(frozen=True)
class Quotes:
    """Prices of calls on one asset, each ``(N,)`` in its currency.

    Args:
        strike: K.
        maturity: T in years.
        price: what was paid, or the middle of bid and ask.
        exact: the price where it is known, else ``price``.
        bid: the least that it may be.
        ask: the most that it may be.
        rate: of interest, continuously compounded.
        dividend: yield, likewise.
        spot: price of the asset.
    """

    strike: Tensor
    maturity: Tensor
    price: Tensor
    exact: Tensor
    bid: Tensor
    ask: Tensor
    rate: Tensor
    dividend: Tensor
    spot: float

    @property
    def forward(self) -> Tensor:
        """Forward of each row."""
        return self.spot * ((self.rate - self.dividend) * self.maturity).exp()

    @property
    def unit(self) -> Tensor:
        """Discounted forward, in which prices are numbers between 0 and 1."""
        return self.spot * (-self.dividend * self.maturity).exp()


def load_quotes(name: str, strikes: int, noise: float, seed: int) -> Quotes:
    """Return quotes.

    Args:
        name: ``black_scholes``; ``heston``, of four maturities; or a CSV file.
        strikes: of Black and Scholes, evenly from 50 to 160.
        noise: standard deviation of what is added to prices of either, in their currency.
        seed: of the noise.

    Raises:
        UnknownNameError: none of these.
        InvalidValueError: a file that is not that.
    """
    if name.endswith(".csv"):
        return read_quotes(name)
    if name == "heston":
        quotes = read_quotes(str(files("actsearch_tasks") / "data" / "heston.csv"))
        strike, maturity, exact = quotes.strike, quotes.maturity, quotes.price
    elif name == "black_scholes":
        strike = torch.linspace(50, 160, strikes, dtype=torch.float64)
        maturity = torch.full_like(strike, MATURITY)
        moneyness = strike / (SPOT * math.exp(RATE * MATURITY))
        deviation = torch.tensor(VOLATILITY * math.sqrt(MATURITY), dtype=torch.float64)
        exact = SPOT * black_price(moneyness, deviation)
    else:
        raise UnknownNameError.among("data", name, ("black_scholes", "heston"), "Or a CSV file.")
    generator = torch.Generator().manual_seed(seed)
    price = exact + noise * torch.randn(exact.shape, generator=generator, dtype=exact.dtype)
    rate = torch.full_like(strike, RATE)
    return Quotes(strike, maturity, price, exact, price, price, rate, 0 * rate, SPOT)


def read_quotes(path: str) -> Quotes:
    """Return the quotes of a CSV file.

    Its columns are strike, maturity (years), spot, rate and dividend (continuously compounded),
    price or both bid and ask, and, if there are puts, type: ``call`` or ``put``. A put becomes a
    call by parity.

    Raises:
        InvalidValueError: other columns, a value out of its range, fewer than 10 rows, several
            spots, or rates that differ within a maturity.
    """
    header = read_header(path)
    prices = ("bid", "ask") if "bid" in header else ("price",)
    names = (*REQUIRED, *prices)
    strike, maturity, spot, rate, dividend, *quoted = read_columns(
        path, names, words={"type": ("call", "put")} if "type" in header else {}
    )
    kind = quoted.pop() if "type" in header else torch.zeros_like(strike)
    bid, ask = quoted[0], quoted[-1]
    for name, column in (("strike", strike), ("maturity", maturity), ("spot", spot)):
        if bool((column <= 0).any()):
            raise InvalidValueError(
                f"{name} of {path} must be above 0, but got {float(column.min()):g}."
            )
    if bool((bid < 0).any()) or bool((ask < bid).any()):
        raise InvalidValueError(
            f"prices of {path} must not be below 0, and no ask below its bid, but got a bid of"
            f" {float(bid.min()):g} and a spread of {float((ask - bid).min()):g}."
        )
    if len(strike) < 10 or len(spot.unique()) > 1:
        raise InvalidValueError(
            f"{path} must have at least 10 quotes of one spot, but got {len(strike)} of"
            f" {len(spot.unique())}."
        )
    terms = torch.stack([maturity, rate, dividend], 1).unique(dim=0)
    if len(terms) > len(maturity.unique()):
        raise InvalidValueError(
            f"rate and dividend of {path} must be one of each maturity, but got {len(terms)} for"
            f" {len(maturity.unique())}."
        )
    parity = spot * (-dividend * maturity).exp() - strike * (-rate * maturity).exp()
    bid, ask = (quote + kind * parity for quote in (bid, ask))
    middle = (bid + ask) / 2
    return Quotes(strike, maturity, middle, middle, bid, ask, rate, dividend, float(spot[0]))


def write_prices(path: Path, columns: dict[str, Tensor]) -> None:
    """Write columns of numbers as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(zip(*(c.tolist() for c in columns.values()), strict=True))
