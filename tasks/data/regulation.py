"""Responses to a measured regulator: of genes over time, or at steady state, as haemoglobin's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actsearch.errors import InvalidValueError, UnknownNameError

from .columns import read_columns, read_header

FEWEST_SAMPLES = 12
"""Rows of a measurement, at least."""


@dataclass(frozen=True)
class Regulated:
    """What regulates and what responds, row by row; NaN where a value is missing.

    Args:
        regulators: of each target its regulator ``(N, G)``, none below 0.
        targets: what responds ``(N, G)``.
        time: of each row ``(N,)``, rising; none where each row is a steady state.
        names: of the targets.
        repressed: whether the regulator holds the target down.
        fraction: whether the target is a share, from 0 without the regulator up to 1.
        known: constants that are known, ``K`` and ``n``.
    """

    regulators: Tensor
    targets: Tensor
    time: Tensor | None
    names: tuple[str, ...]
    repressed: bool = False
    fraction: bool = False
    known: Mapping[str, float] = field(default_factory=dict)


def load_regulation(name: str, noise: float = 0.0, seed: int = 0) -> Regulated:
    """Return data by name, or a CSV file of one's own.

    Args:
        name: ``simulated``, ``repressilator``, ``haemoglobin``, or a file, as
            :func:`read_regulated` reads it.
        noise: standard deviation of what is simulated, relative to each target value.
        seed: of the noise.

    Raises:
        UnknownNameError: neither a known name nor a file.
    """
    if name.endswith(".csv"):
        return read_regulated(name)
    if name not in SETS:
        raise UnknownNameError.among("data", name, SETS, "Or a .csv file.")
    found = SETS[name]()
    random = torch.Generator().manual_seed(seed)
    errors = torch.randn(found.targets.shape, generator=random, dtype=torch.float64)
    found.targets.mul_(1 + noise * errors)
    return found


def regulator(time: np.ndarray | float) -> np.ndarray:
    """Return the regulator of the simulated gene: two sines, never below 0."""
    wave = 1.2 + np.sin(1.1 * np.asarray(time)) + 0.8 * np.sin(2.3 * np.asarray(time))
    return np.maximum(wave, 0.0)


def simulated_gene() -> Regulated:
    r"""Return a gene of which all is known, 61 samples on [0, 12].

    .. math:: \dot x = 0.1 + 2 \frac{u^n}{K^n + u^n} - 0.7 x, \quad K = 1.2, n = 2.6
    """

    def slope(t: float, x: np.ndarray) -> np.ndarray:
        active = regulator(t) ** 2.6
        return np.asarray(0.1 + 2 * active / (1.2**2.6 + active) - 0.7 * x)

    time = np.linspace(0, 12, 61)
    target = _solve(slope, time, [0.5])[0]
    known = {"K": 1.2, "n": 2.6}
    u = torch.from_numpy(regulator(time))[:, None]
    return Regulated(
        u, torch.from_numpy(target)[:, None], torch.from_numpy(time), ("",), known=known
    )


def repressilator() -> Regulated:
    r"""Return three genes in a ring, each repressed by the protein of the one before.

    .. math:: \dot m_i = a_0 + a \frac{K^n}{K^n + p_{i-1}^n} - \frac{\ln 2}{2} m_i, \qquad
              \dot p_i = 10 \ln 2 \, m_i - \frac{\ln 2}{10} p_i

    In minutes and molecules of a cell, with the constants of the paper: n = 2, K = 40, half-lives
    of 2 min (messenger) and 10 min (protein), 0.5 transcripts a second free and 0.0005 repressed,
    20 proteins a transcript. Proteins regulate, messengers are the targets, each minute of 200 once
    the ring swings; proteins then stay above K.

    References:
        A synthetic oscillatory network of transcriptional regulators, M. Elowitz and S. Leibler,
        2000, https://doi.org/10.1038/35002125
    """
    decay, loss = math.log(2) / 2, math.log(2) / 10

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        messenger, protein = state[:3], np.roll(state[3:], 1)
        free = 1 / (1 + (protein / 40) ** 2)
        production = 60 * (0.0005 + (0.5 - 0.0005) * free)
        return np.concatenate(
            [production - decay * messenger, 20 * decay * messenger - loss * state[3:]]
        )

    time = np.linspace(0, 300, 301)
    state = torch.from_numpy(_solve(slope, time, [20.0, 0, 0, 0, 0, 0]))[:, 100:]
    proteins = state[3:].roll(1, 0).T.clamp_min(0)
    names = ("lacI", "tetR", "cI")
    known = {"K": 40.0, "n": 2.0}
    messengers, at = state[:3].T.clone(), torch.from_numpy(time[100:])
    return Regulated(proteins, messengers, at, names, repressed=True, known=known)


def haemoglobin() -> Regulated:
    r"""Return the oxygen saturation of human blood over the partial pressure, 1 to 150 Torr.

    .. math:: S = \left(\frac{23400}{P^3 + 150 P} + 1\right)^{-1}

    Within 0.0055 of the measured standard curve.

    References:
        Simple, accurate equations for human blood O2 dissociation computations, J. Severinghaus,
        1979, https://doi.org/10.1152/jappl.1979.46.3.599
    """
    pressure = torch.arange(1, 151, dtype=torch.float64)[:, None]
    saturation = 1 / (23400 / (pressure**3 + 150 * pressure) + 1)
    return Regulated(pressure, saturation, None, ("",), fraction=True)


SETS = {
    "simulated": simulated_gene,
    "repressilator": repressilator,
    "haemoglobin": haemoglobin,
}
"""Data by name."""


def _solve(slope: Any, time: np.ndarray, start: list[float]) -> np.ndarray:
    from scipy.integrate import solve_ivp

    found = solve_ivp(
        slope, (time[0], time[-1]), start, t_eval=time, rtol=1e-9, atol=1e-9, max_step=1.0
    )
    return np.asarray(found.y)


def read_regulated(path: str) -> Regulated:
    """Return the data of a CSV file; an empty cell is a missing value.

    Args:
        path: columns regulator and target, or ``regulator_NAME`` and ``target_NAME`` for several,
            where one regulator alone drives every target; and time, unless each row is a steady
            state.

    Raises:
        InvalidValueError: a file that is not that, too few rows, times that do not rise, a
            regulator below 0, or a column without values or of one value.
    """
    header = read_header(path)
    drivers = [name for name in header if name.split("_")[0] == "regulator"]
    targets = [name for name in header if name.split("_")[0] == "target"]
    pairs = {name: name.replace("target", "regulator", 1) for name in targets}
    if len(drivers) == 1:
        pairs = dict.fromkeys(targets, drivers[0])
    if not targets or {*pairs.values()} != {*drivers} or {*header} - {*drivers, *targets, "time"}:
        raise InvalidValueError(
            f"{path} must have the columns regulator and target, or regulator_NAME for each"
            f" target_NAME, and time or not, but got {', '.join(header) or 'none'}."
        )
    columns = dict(zip(header, read_columns(path, header, missing=True), strict=True))
    for name, column in columns.items():
        _check(path, name, column)
    return Regulated(
        torch.stack([columns[pairs[name]] for name in targets], 1),
        torch.stack([columns[name] for name in targets], 1),
        columns.get("time"),
        tuple(name.partition("_")[2] for name in targets),
    )


def _check(path: str, name: str, column: Tensor) -> None:
    present = column[column.isfinite()]
    least = len(column) if name == "time" else FEWEST_SAMPLES
    if len(present) < max(least, FEWEST_SAMPLES):
        raise InvalidValueError(
            f"{name} of {path} must have at least {max(least, FEWEST_SAMPLES)} values, but got"
            f" {len(present)}."
        )
    if name == "time" and not (column.diff() > 0).all():
        first = int((column.diff() <= 0).nonzero()[0]) + 3
        raise InvalidValueError(f"time of {path} must rise, but does not in line {first}.")
    if not present.std() > 0:
        raise InvalidValueError(
            f"{name} of {path} must vary, but got {float(present[0]):g} in all rows."
        )
    if name.startswith("regulator") and present.min() < 0:
        raise InvalidValueError(
            f"{name} of {path} must be a concentration, at least 0, but got"
            f" {float(present.min()):g}. Take off its background."
        )
