"""Which configuration to try next: candidates around the best, and the one of them worth most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actsearch.search.samplers.function_space.acquisition import acquisition
from actsearch.search.samplers.function_space.encoding import Dimension, Encoding
from actsearch.search.samplers.function_space.posterior import Posterior
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]


def propose(
    encoding: Encoding,
    posteriors: Sequence[Posterior],
    tried: Array,
    fixed: dict[int, float],
    rng: np.random.Generator,
    settings: Settings = DEFAULTS,
) -> Array:
    """Return the candidate that is worth most, of those that were not tried.

    Where every configuration was tried, the best one is returned again: the next training tells how
    much of it is noise.

    Args:
        encoding: the parameters.
        posteriors: the posterior of each objective, with what is in flight.
        tried: configurations that were tried or are in flight.
        fixed: numbers that are given, by place in the row.
        rng: source of randomness.
        settings: how many candidates there are, and which.
    """
    worth = acquisition(posteriors, len(encoding.activations), rng, settings)
    known = posteriors[0].rows
    top = _best(known, worth.expected(known), settings.best)
    rows = untried(with_fixed(candidates(encoding, top, rng, settings), fixed), tried)
    if not len(rows):
        rows = _remaining(encoding, tried, fixed, rng, settings)
    score = worth(rows)
    if len(encoding.activations) > 1 or encoding.others:
        for climb in range(settings.climbs):
            move = settings.climb_move / settings.climb_shrink**climb
            near = _neighbours(encoding, _best(rows, score, settings.best), move, rng, settings)
            near = untried(with_fixed(near, fixed), np.concatenate([tried, rows]))
            if not len(near):
                break
            rows, score = np.concatenate([rows, near]), np.concatenate([score, worth(near)])
    result: Array = rows[np.argmax(score)]
    return result


def _best(rows: Array, score: Array, count: int) -> Array:
    best: Array = rows[np.argsort(-score, kind="stable")[:count]]
    return best


def candidates(
    encoding: Encoding, top: Array, rng: np.random.Generator, settings: Settings = DEFAULTS
) -> Array:
    """Return configurations that are worth a look, the same one perhaps twice.

    One site: every choice, or of a long list random ones and the neighbours of the best in function
    space. Several: the same activation at every site, random draws, mutations and crossings of the
    best.
    """
    sites = len(encoding.activations)
    moves = settings.mutations // len(top)
    if sites == 1:
        choices = _shortlist(encoding.activations[0], top, rng, settings)
        parts = [_with(np.repeat(top[:1], len(choices), 0), 0, choices)]
        if encoding.others:
            parts.append(_with(draw(encoding, len(choices), rng), 0, choices))
            parts.append(draw(encoding, settings.random, rng))
            parts.append(_moved(encoding, top, moves, settings.move, rng, settings))
        return np.concatenate(parts)
    parts = [
        draw(encoding, settings.random, rng),
        _mutated(encoding, top, settings.mutations, rng),
        _crossed(top, settings.crossings, rng),
    ]
    if sites:
        parts.append(_same_everywhere(encoding, top))
        parts.append(_exchanged(encoding, top[: settings.best // 2], rng, settings))
    if encoding.others:
        parts.append(_moved(encoding, top, moves, settings.move, rng, settings))
    return np.concatenate(parts)


def draw(encoding: Encoding, count: int, rng: np.random.Generator) -> Array:
    """Return random configurations."""
    return np.stack([dimension.draw(count, rng) for dimension in encoding.dimensions], 1)


def with_fixed(rows: Array, fixed: dict[int, float]) -> Array:
    """Put fixed numbers at their places, in place."""
    for place, number in fixed.items():
        rows[:, place] = number
    return rows


def untried(rows: Array, tried: Array) -> Array:
    """Return the rows, each once, that were not tried."""
    seen = set(map(bytes, np.ascontiguousarray(tried)))
    kept = []
    for i, row in enumerate(np.ascontiguousarray(rows)):
        if (key := bytes(row)) not in seen:
            seen.add(key)
            kept.append(i)
    return rows[kept]


def random_untried(
    encoding: Encoding,
    tried: Array,
    fixed: dict[int, float],
    rng: np.random.Generator,
    settings: Settings = DEFAULTS,
) -> Array:
    """Return a random configuration, one that was not tried while there are some."""
    rows = untried(with_fixed(draw(encoding, 64, rng), fixed), tried)
    if not len(rows):
        rows = _remaining(encoding, tried, fixed, rng, settings)
    result: Array = rows[rng.integers(len(rows))]
    return result


def _remaining(
    encoding: Encoding,
    tried: Array,
    fixed: dict[int, float],
    rng: np.random.Generator,
    settings: Settings,
) -> Array:
    """Return configurations that no candidate was: untried ones while there are some, else all."""
    size, most = encoding.finite, 4 * settings.shortlist
    if size is not None and size <= most:
        axes = [np.arange(d.size, dtype=float) for d in encoding.dimensions]
        every = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], 1)
    else:
        every = draw(encoding, most, rng)
    rows = untried(with_fixed(every, fixed), tried)
    return rows if len(rows) else np.unique(with_fixed(tried.copy(), fixed), axis=0)


def _with(rows: Array, place: int, numbers: Array) -> Array:
    rows = rows.copy()
    rows[:, place] = numbers
    return rows


def _shortlist(
    dimension: Dimension, top: Array, rng: np.random.Generator, settings: Settings
) -> Array:
    """Return every choice, or of a long list random ones and those most like the best."""
    if dimension.size <= settings.shortlist:
        return np.arange(dimension.size, dtype=float)
    half = settings.shortlist // 2
    chosen = rng.choice(dimension.size, half, replace=False)
    assert dimension.features is not None, "activations have features"
    each = half // len(top)
    near: list[NDArray[np.intp]] = []
    for index in top[:, 0].astype(int):
        squared = np.zeros(dimension.size)
        for view in dimension.features.views:
            squared = squared + ((view - view[index]) ** 2).mean(1)
        near.append(np.argpartition(squared, each)[:each])
    return np.unique(np.concatenate([chosen, *near])).astype(float)


def _same_everywhere(encoding: Encoding, top: Array) -> Array:
    """Return the best with one activation at every site: every name that all sites have."""
    sites = encoding.activations
    names = set(sites[0].choices).intersection(*(d.choices for d in sites[1:]))
    places = [[d.choices.index(name) for d in sites] for name in sorted(map(str, names))]
    rows = np.repeat(top[:1], len(places), 0)
    rows[:, : len(sites)] = np.array(places, dtype=float).reshape(len(places), len(sites))
    return rows


def _neighbours(
    encoding: Encoding, rows: Array, move: float, rng: np.random.Generator, settings: Settings
) -> Array:
    """Return configurations with one site changed, and some with other parameters moved."""
    parts = []
    if len(encoding.activations) > 1:
        parts.append(_exchanged(encoding, rows, rng, settings))
    if encoding.others:
        parts.append(_moved(encoding, rows, settings.climb_moves, move, rng, settings))
    return np.concatenate(parts)


def _exchanged(
    encoding: Encoding, rows: Array, rng: np.random.Generator, settings: Settings
) -> Array:
    """Return configurations with one site changed, in every way while those are not too many."""
    count = max(1, settings.mutations // (len(rows) * len(encoding.activations)))
    parts = []
    for row in rows:
        for i, dimension in enumerate(encoding.activations):
            size = dimension.size
            choices = np.arange(size) if size <= count else rng.choice(size, count, replace=False)
            parts.append(_with(np.repeat(row[None], len(choices), 0), i, choices.astype(float)))
    return np.concatenate(parts)


def _mutated(encoding: Encoding, top: Array, count: int, rng: np.random.Generator) -> Array:
    """Return the best with one to three parameters drawn anew."""
    rows = top[rng.integers(len(top), size=count)]
    fresh = draw(encoding, count, rng)
    width = len(encoding.dimensions)
    order = rng.random((count, width)).argsort(1)
    changed = order < rng.integers(1, min(3, width) + 1, size=(count, 1))
    return np.where(changed, fresh, rows)


def _crossed(top: Array, count: int, rng: np.random.Generator) -> Array:
    """Return crosses of two of the best: each parameter from one or the other."""
    mother, father = (top[rng.integers(len(top), size=count)] for _ in range(2))
    return np.where(rng.random(mother.shape) < 0.5, mother, father)


def _moved(
    encoding: Encoding,
    rows: Array,
    each: int,
    deviation: float,
    rng: np.random.Generator,
    settings: Settings,
) -> Array:
    """Return rows with their numbers moved a little, and now and then another choice."""
    rows = np.repeat(rows, max(1, each), 0)
    for i, dimension in enumerate(encoding.dimensions):
        if not dimension.size:
            moved = rows[:, i] + deviation * rng.standard_normal(len(rows))
            rows[:, i] = dimension.snap(np.clip(moved, 0, 1))
        elif dimension.features is None:
            switched = rng.random(len(rows)) < settings.switch_share
            rows[:, i] = np.where(switched, dimension.draw(len(rows), rng), rows[:, i])
    return rows
