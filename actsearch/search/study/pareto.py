"""The trials that nothing beats in every objective, and the one at the knee."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def front(points: Sequence[Sequence[float]], signs: Sequence[int]) -> list[int]:
    """Return the indices of the points that no other dominates.

    One dominates that is at least as good in everything and better in something.

    Args:
        points: values, one row a point.
        signs: 1 where smaller is better, -1 where larger is.

    >>> front([[1, 5], [2, 2], [3, 3], [4, 1]], [1, 1])
    [0, 1, 3]
    """
    values = np.asarray(points, dtype=float).reshape(-1, len(signs)) * np.asarray(signs)
    chosen: list[int] = []
    for index, value in enumerate(values):
        beaten = (values <= value).all(axis=1) & (values < value).any(axis=1)
        twin = any((values[other] == value).all() for other in chosen)
        if not beaten.any() and not twin:
            chosen.append(index)
    return chosen


def knee(points: Sequence[Sequence[float]], signs: Sequence[int]) -> int:
    """Return the index of the point on the front that is nearest to the best of everything.

    Each objective is scaled to the front.

    >>> knee([[0, 10], [1, 1], [10, 0]], [1, 1])
    1
    """
    members = front(points, signs)
    values = np.asarray(points, dtype=float).reshape(len(points), -1)[members] * np.asarray(signs)
    span = np.ptp(values, axis=0)
    scaled = (values - values.min(axis=0)) / np.where(span > 0, span, 1.0)
    return members[int(np.argmin(np.linalg.norm(scaled, axis=1)))]
