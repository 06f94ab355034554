"""Whether any input near a sample is classified otherwise, decided exactly."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from actsearch.measures.functional.mixed_integer import Programme
from actsearch.measures.functional.pieces import Array, Pieces

Bounding = Literal["linear_programme", "interval"]
Outcome = Literal["verified", "refuted", "undecided"]

SLACK = 1e-6
"""A margin counts as positive above it: the tolerance of the solver."""


@dataclass(frozen=True)
class Proof:
    """What is known of one sample.

    Args:
        outcome: ``verified``: no other class within the radius; ``refuted``: the witness has
            another one; ``undecided``: time was up.
        margin: the label's logit less that of another class: of a verified sample a lower bound, or
            the least within the radius, by the solver; of a refuted one that of the witness.
        witness: the input where it is, ``(D,)``; ``None`` where bounds alone have decided.
        rival: the other class there.
        binaries: binary variables of the programme.
        unstable: units with a knot in their bounds.
    """

    outcome: Outcome
    margin: float
    witness: Array | None
    rival: int | None
    binaries: int
    unstable: int


def encode_network(
    maps: Sequence[tuple[Array, Array]],
    sites: Sequence[Sequence[Pieces]],
    low: Array,
    high: Array,
    bounds: Bounding = "linear_programme",
    seconds: float = np.inf,
) -> tuple[Programme, int]:
    """Return the programme of a network on a box of inputs, and its number of unstable units.

    Args:
        maps: from the input and the outputs of earlier sites to what enters each site, and to the
            logits: matrix and offset.
        sites: the pieces of each site's units.
        low: least inputs, ``(D,)``.
        high: largest inputs.
        bounds: of what enters a unit: ``interval`` arithmetic, or tightened by a
            ``linear_programme`` for each side of each unit that has a knot between them.
        seconds: after which intervals have to do.
    """
    end = time.monotonic() + seconds
    programme, unstable = Programme(low, high), 0
    for number, (units, (matrix, offset)) in enumerate(zip(sites, maps, strict=False)):
        least, largest = programme.interval(matrix, offset)
        # Of the first site intervals are exact.
        for u, unit in enumerate(units if number and bounds == "linear_programme" else ()):
            for side, edge in ((1, least), (-1, largest)):
                left = end - time.monotonic()
                if len(unit.inside(least[u], largest[u])) and left > 0:
                    bound = programme.lower_bound(side * matrix[u], side * offset[u], left)
                    edge[u] = side * max(side * edge[u], bound)
        least, largest = np.minimum(least, largest), np.maximum(least, largest)
        inside = [len(u.inside(*pair)) for u, *pair in zip(units, least, largest, strict=True)]
        unstable += sum(count > 0 for count in inside)
        programme.add(matrix, offset, least, largest, units)
    return programme, unstable


def verify(
    maps: Sequence[tuple[Array, Array]],
    sites: Sequence[Sequence[Pieces]],
    logits: Callable[[Array], Array],
    sample: Array,
    label: int,
    epsilon: float,
    seconds: float = np.inf,
    bounds: Bounding = "linear_programme",
) -> Proof:
    r"""Return whether a sample keeps its class under every change up to ε of each of its inputs.

    .. math:: \min_{\|x' - x\|_\infty \le \varepsilon} f_y(x') - f_c(x') > 0
        \quad \text{for all } c \ne y

    Each minimum is that of a mixed-integer programme. A witness counts where the network itself
    classifies it otherwise.

    Args:
        maps: as for :func:`encode_network`.
        sites: as for :func:`encode_network`.
        logits: the network itself, of inputs ``(N, D)``.
        sample: x, ``(D,)``.
        label: y.
        epsilon: ε.
        seconds: for all, about half of them for bounds.
        bounds: as for :func:`encode_network`.
    """
    end = time.monotonic() + seconds
    low, high = sample - epsilon, sample + epsilon
    programme, unstable = encode_network(maps, sites, low, high, bounds, seconds / 2)
    size = programme.binaries, unstable
    matrix, offset = maps[-1]
    own = logits(sample[None])[0]
    ahead = int(np.argmax(own))
    if own[ahead] > own[label]:
        return Proof("refuted", float(own[label] - own[ahead]), sample, ahead, *size)
    rows, offsets = matrix[label] - matrix, offset[label] - offset
    proved, _ = programme.interval(rows, offsets)
    proved[label] = np.inf
    for c in np.flatnonzero(proved <= SLACK):
        proved[c] = programme.lower_bound(rows[c], offsets[c], end - time.monotonic())
    worst: tuple[float, Array | None, int | None] = (float(proved.min()), None, None)
    decided = True
    for rival in [int(c) for c in np.argsort(proved) if proved[c] <= SLACK]:
        left = end - time.monotonic()
        point, margin, least = programme.minimise(rows[rival], offsets[rival], left)
        decided &= least > SLACK
        if point is None:
            continue
        point = np.clip(point, low, high)
        if worst[1] is None or margin < worst[0]:
            worst = margin, point, rival
        own = logits(point[None])[0]
        if own[label] < own[rival]:
            return Proof("refuted", margin, point, rival, *size)
    return Proof("verified" if decided else "undecided", *worst, *size)
