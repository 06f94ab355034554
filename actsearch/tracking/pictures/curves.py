"""Activations as curves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from actsearch.activations import Activation
from actsearch.errors import InvalidValueError
from actsearch.placement import Placement, SiteEntry
from actsearch.placement.shown import given_parameters
from actsearch.search.study.record import StudyRun
from actsearch.tracking.learned import kept_weights, learned, start_of
from actsearch.tracking.pictures.style import (
    BLUE,
    INK,
    ORANGE,
    PNG_DPI,
    QUIET,
    new_axes,
    new_picture,
    shortened,
    tell,
    write,
)
from actsearch.tracking.words import labels, places

MOST_CURVES = 24
CHANNELS_DRAWN = 16
REACH = 6.5
"""Of the curves of a placement; a rectifier that is clipped at 6 has its corner within."""


@dataclass(frozen=True)
class _Curve:
    """One function of a placement.

    Args:
        label: what it is, and where it stands.
        function: it, as it was learned where that is known.
        start: what it started as, where it was learned.
    """

    label: str
    function: Activation
    start: Activation | None = None


def curves(run: StudyRun, placement: Placement, path: Path) -> None:
    """Draw each different function of a placement with its derivative, and where it stands.

    A learned one is drawn as it was learned where the weights are kept, beside its start; one that
    learns by channel with a line for each of the first channels.
    """
    drawn = _different(run, placement)
    figure = _panels(len(drawn[:MOST_CURVES]))
    for axes, curve in zip(figure.axes, drawn, strict=False):
        _draw(axes, curve.function, REACH)
        if curve.start is not None:
            x, y, _ = _values(curve.start, REACH)
            axes.plot(x, y, ":", color=QUIET, lw=1.6, label="as it started")
        axes.set_title(curve.label, fontsize=9)
    left = len(drawn) - len(figure.axes)
    tell(figure, f"{run.name}: what stands where", [f"{left} more are not shown"] * (left > 0))
    write(figure, path)


def _different(run: StudyRun, placement: Placement) -> list[_Curve]:
    """Return the different functions of a placement, in the order of its sites."""
    number = placement.found.get("trial")
    weights = kept_weights(run, number) if isinstance(number, int) else None
    trained = learned(run, placement, weights) if weights is not None else {}
    where: dict[str, list[str]] = defaultdict(list)
    for site, entry in placement.sites.items():
        alike = entry.model_dump_json(exclude={"channels", "channel_dim"})
        where[f"{alike} at {site}" if site in trained else alike].append(site)
    short = dict(zip(placement.sites, labels(list(placement.sites)), strict=True))
    found = []
    for sites in where.values():
        site, entry = sites[0], placement.sites[sites[0]]
        place = _place([short[one] for one in sites], len(placement.sites))
        function = trained.get(site) or entry.build(channels=1)
        start = start_of(run, site, entry) if site in trained else None
        what = [entry.activation, *_parameters(entry, function, start)]
        label = "\n".join([*(shortened(part, 38) for part in what), *place])
        found.append(_Curve(label, function, start))
    return found


def _parameters(entry: SiteEntry, function: Activation, start: Activation | None) -> list[str]:
    """Return the parameters of a function in a line, if it has any: given ones, and learned ones.

    Of several channels it is their mean.
    """
    shown = given_parameters(entry)
    if start is not None:
        now, was = function.current(), start.current()
        for key in function.learn:
            shown[key] = " → ".join(f"{float(v[key].detach().mean()):.3g}" for v in (was, now))
    return [", ".join(f"{key}={value}" for key, value in shown.items())] if shown else []


def _place(sites: Sequence[str], of: int) -> list[str]:
    """Return where a function stands, in a line where there is more than one site."""
    if len(sites) == of:
        return [f"at all {of} sites"] if of > 1 else []
    return [f"at {places(sites)}"]


def sheet(activations: Mapping[str, Activation], path: Path, reach: float = 4.0) -> None:
    """Draw activations with their derivatives, each under its label.

    Raises:
        InvalidValueError: the picture cannot be written.
    """
    figure = _panels(len(activations))
    for axes, (label, entry) in zip(figure.axes, activations.items(), strict=True):
        _draw(axes, entry.plain(), reach)
        axes.set_title(label, fontsize=9, color=INK)
    tell(figure, "")
    try:
        figure.savefig(path, dpi=PNG_DPI)
    except (OSError, ValueError) as error:
        raise InvalidValueError(
            f"picture must be a file that can be written, such as sheet.png, but got {str(path)!r}:"
            f" {error}."
        ) from None


def _panels(count: int) -> Figure:
    columns = min(6, max(1, math.ceil(math.sqrt(count))))
    rows = max(1, -(-count // columns))
    figure = new_picture(max(4.0, 2.9 * columns), 1.0 + 2.6 * rows)
    for index in range(count):
        new_axes(figure, rows, columns, index + 1)
    return figure


def _draw(axes: Axes, function: Activation, reach: float) -> None:
    x, y, slope = _values(function, reach)
    width, alpha = (1.9, 1.0) if y.shape[1] == 1 else (0.9, 0.6)
    for channel in range(y.shape[1]):
        again = "_" if channel else ""
        axes.plot(x, y[:, channel], color=BLUE, lw=width, alpha=alpha, label=f"{again}φ(x)")
        axes.plot(
            x, slope[:, channel], "--", color=ORANGE, lw=width, alpha=alpha, label=f"{again}φ'(x)"
        )
    axes.set_xlim(-reach, reach)
    shown = torch.cat([y, slope]).clamp(-reach, reach)
    low, high = min(-1.0, float(shown.min())), max(1.5, float(shown.max()))
    axes.set_ylim(low - 0.25, high + 0.25)
    axes.axhline(0, color=QUIET, lw=0.8, zorder=1)
    axes.axvline(0, color=QUIET, lw=0.8, zorder=1)


def _values(function: Activation, reach: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return points, and the function and its derivative there, a column for each channel."""
    channels = min(function.channels or 1, CHANNELS_DRAWN)
    rebuilt = function.rebuilt(channel_dim=-1)
    rebuilt.load_state_dict(function.state_dict())
    rebuilt = rebuilt.double().eval()
    line = torch.linspace(-reach, reach, 801, dtype=torch.float64)
    x = line[:, None].repeat(1, function.channels or 1).requires_grad_()
    y = rebuilt(x)
    slope = torch.autograd.grad(y.sum(), x)[0] if y.requires_grad else torch.zeros_like(x)
    return line, y.detach()[:, :channels], slope[:, :channels]
