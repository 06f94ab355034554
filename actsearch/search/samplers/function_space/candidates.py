"""Which configuration to try next: how a search begins, and the candidates after that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actsearch.activations.registry import canonical_name
from actsearch.search.samplers.function_space.acquisition import acquisition
from actsearch.search.samplers.function_space.encoding import Dimension, Space
from actsearch.search.samplers.function_space.gaussian_process import Model

Array = NDArray[np.float64]

COMMON = ("relu", "elu", "gelu", "tanh", "sigmoid", "square")
"""What a search begins with, where it is among the choices: different enough for the model to begin with. One that
begins with experience needs the first alone."""

LONG = 4096
"""A longer list of choices is not scored whole: random ones, and the neighbours of the best."""

BEST = 6
RANDOM = 512
MUTATIONS = 768
CROSSINGS = 256
ROUNDS = 5
"""Times that the neighbours of the best candidates are added."""

MIXED = 14
"""A search over several sites begins with at most that many random placements."""


def first(
    space: Space, tried: Array, fixed: dict[int, float], rng: np.random.Generator, informed: bool
) -> Array | None:
    """Return what a search begins with; ``None`` where its beginning is over.

    One site: the next common activation that was not tried. Several: random placements, which tell
    more of what each site needs than the same activation everywhere.

    Args:
        space: the parameters.
        tried: configurations that were tried or are in flight.
        fixed: numbers that are given, by place in the row.
        rng: source of randomness.
        informed: whether something is known of other problems.
    """
    sites = len(space.activations)
    if sites > 1:
        return (
            unguided(space, tried, fixed, rng) if len(tried) < min(MIXED, 4 + 2 * sites) else None
        )
    names = COMMON[:1] if informed else COMMON
    if len(tried) >= 2 * len(names):
        return None
    known = (
        [canonical_name(str(choice)) for choice in space.activations[0].choices] if sites else []
    )
    for name in names:
        if name not in known:
            continue
        row: Array = draw(space, 1, rng)[0]
        row[0] = known.index(name)
        row = pin(row[None], fixed)[0]
        if not (tried[:, 0] == row[0]).any():
            return row
    return None


def unguided(
    space: Space, tried: Array, fixed: dict[int, float], rng: np.random.Generator
) -> Array:
    """Return a random configuration, one that was not tried while there are some."""
    fresh = unseen(pin(draw(space, 64, rng), fixed), tried)
    rows = fresh if len(fresh) else _remaining(space, tried, fixed, rng)
    result: Array = rows[rng.integers(len(rows))]
    return result


def propose(
    space: Space,
    models: Sequence[Model],
    tried: Array,
    fixed: dict[int, float],
    rng: np.random.Generator,
) -> Array:
    """Return the candidate that is worth most, of those that were not tried.

    Where every configuration was tried, the best one is returned again: the next training tells how
        much of it is noise.

    Args:
        space: the parameters.
        models: the surrogate of each objective, with what is in flight.
        tried: configurations that were tried or are in flight.
        fixed: numbers that are given, by place in the row.
        rng: source of randomness.
    """
    worth = acquisition(models, len(space.activations), rng)
    top = tried[np.argsort(-worth.expected(tried), kind="stable")[:BEST]]
    rows = unseen(pin(candidates(space, top, rng), fixed), tried)
    if not len(rows):
        rows = _remaining(space, tried, fixed, rng)
    score = worth(rows)
    if len(space.activations) < 2 and not space.others:
        return _largest(rows, score)
    for round_ in range(ROUNDS):
        leaders = rows[np.argsort(-score, kind="stable")[:BEST]]
        near = unseen(
            pin(_neighbours(space, leaders, 0.15 / 3**round_, rng), fixed),
            np.concatenate([tried, rows]),
        )
        if not len(near):
            break
        rows, score = np.concatenate([rows, near]), np.concatenate([score, worth(near)])
    return _largest(rows, score)


def _largest(rows: Array, score: Array) -> Array:
    result: Array = rows[np.argmax(score)]
    return result


def candidates(space: Space, top: Array, rng: np.random.Generator) -> Array:
    """Return configurations that are worth a look, the same one perhaps twice.

    One site: every choice, or of a long list random ones and the neighbours of the best in function
    space. Several: the same activation at every site, random draws, mutations and crossings of the
    best.
    """
    sites = len(space.activations)
    if sites == 1:
        choices = _shortlist(space.activations[0], top, rng)
        rows = [_with(np.repeat(top[:1], len(choices), 0), 0, choices)]
        if space.others:
            rows += [_with(draw(space, len(choices), rng), 0, choices), draw(space, RANDOM, rng)]
            rows.append(_moved(space, top, MUTATIONS // len(top), 0.2, rng))
        return np.concatenate(rows)
    parts = [
        draw(space, RANDOM, rng),
        _mutated(space, top, MUTATIONS, rng),
        _crossed(top, CROSSINGS, rng),
    ]
    if sites:
        parts += [_uniform(space, top), _exchanged(space, top[: BEST // 2], rng)]
    if space.others:
        parts.append(_moved(space, top, MUTATIONS // len(top), 0.2, rng))
    return np.concatenate(parts)


def draw(space: Space, count: int, rng: np.random.Generator) -> Array:
    """Return random configurations."""
    return np.stack([dimension.draw(count, rng) for dimension in space.dimensions], 1)


def pin(rows: Array, fixed: dict[int, float]) -> Array:
    """Put given numbers at their places."""
    for place, number in fixed.items():
        rows[:, place] = number
    return rows


def unseen(rows: Array, tried: Array) -> Array:
    """Return the rows, each once, that were not tried."""
    seen = set(map(bytes, np.ascontiguousarray(tried)))
    kept = []
    for i, row in enumerate(np.ascontiguousarray(rows)):
        if (key := bytes(row)) not in seen:
            seen.add(key)
            kept.append(i)
    return rows[kept]


def _remaining(
    space: Space, tried: Array, fixed: dict[int, float], rng: np.random.Generator
) -> Array:
    """Return configurations that no candidate was: untried ones while there are some, else all that were tried."""
    size = space.finite
    if size is not None and size <= 4 * LONG:
        grid = np.stack(
            [
                axis.ravel()
                for axis in np.meshgrid(
                    *[np.arange(d.size, dtype=float) for d in space.dimensions], indexing="ij"
                )
            ],
            1,
        )
        rows = unseen(pin(grid, fixed), tried)
    else:
        rows = unseen(pin(draw(space, 4 * LONG, rng), fixed), tried)
    return rows if len(rows) else np.unique(pin(tried.copy(), fixed), axis=0)


def _with(rows: Array, place: int, numbers: Array) -> Array:
    rows = rows.copy()
    rows[:, place] = numbers
    return rows


def _shortlist(dimension: Dimension, top: Array, rng: np.random.Generator) -> Array:
    if dimension.size <= LONG:
        return np.arange(dimension.size, dtype=float)
    chosen = rng.choice(dimension.size, LONG // 2, replace=False)
    assert dimension.features is not None, "activations have features"
    each = LONG // 2 // len(top)
    near: list[NDArray[np.intp]] = []
    for index in top[:, 0].astype(int):
        squared = sum(
            (((view - view[index]) ** 2).mean(1) for view in dimension.features.views),
            start=np.zeros(dimension.size),
        )
        near.append(np.argpartition(squared, each)[:each])
    return np.unique(np.concatenate([chosen, *near])).astype(float)


def _uniform(space: Space, top: Array) -> Array:
    """Return the best with one activation at every site: every name that all sites have."""
    names = set(space.activations[0].choices).intersection(
        *(d.choices for d in space.activations[1:])
    )
    places = [
        [d.choices.index(name) for d in space.activations] for name in sorted(map(str, names))
    ]
    rows = np.repeat(top[:1], len(places), 0)
    rows[:, : len(space.activations)] = np.array(places, dtype=float).reshape(
        len(places), len(space.activations)
    )
    return rows


def _neighbours(space: Space, rows: Array, deviation: float, rng: np.random.Generator) -> Array:
    """Return configurations that differ in one site, and those with other parameters a little moved."""
    parts = [_exchanged(space, rows, rng)] if len(space.activations) > 1 else []
    return np.concatenate(
        [*parts, _moved(space, rows, 32, deviation, rng)] if space.others else parts
    )


def _exchanged(space: Space, rows: Array, rng: np.random.Generator) -> Array:
    """Return configurations with one site changed, in every way while those are not too many."""
    count = max(1, MUTATIONS // (len(rows) * len(space.activations)))
    parts = []
    for row in rows:
        for i, dimension in enumerate(space.activations):
            every = dimension.size <= count
            choices = (
                np.arange(dimension.size)
                if every
                else rng.choice(dimension.size, count, replace=False)
            )
            parts.append(_with(np.repeat(row[None], len(choices), 0), i, choices.astype(float)))
    return np.concatenate(parts)


def _mutated(space: Space, top: Array, count: int, rng: np.random.Generator) -> Array:
    """Return the best with one to three parameters drawn anew."""
    rows = top[rng.integers(len(top), size=count)]
    fresh = draw(space, count, rng)
    width = len(space.dimensions)
    changed = rng.random((count, width)).argsort(1) < rng.integers(
        1, min(3, width) + 1, size=(count, 1)
    )
    return np.where(changed, fresh, rows)


def _crossed(top: Array, count: int, rng: np.random.Generator) -> Array:
    """Return mixtures of two of the best."""
    first_, second = (top[rng.integers(len(top), size=count)] for _ in range(2))
    return np.where(rng.random(first_.shape) < 0.5, first_, second)


def _moved(
    space: Space, rows: Array, each: int, deviation: float, rng: np.random.Generator
) -> Array:
    """Return rows with their numbers moved a little, and now and then another choice."""
    rows = np.repeat(rows, max(1, each), 0)
    for i, dimension in enumerate(space.dimensions):
        if not dimension.size:
            rows[:, i] = dimension.snap(
                np.clip(rows[:, i] + deviation * rng.standard_normal(len(rows)), 0, 1)
            )
        elif dimension.features is None:
            rows[:, i] = np.where(
                rng.random(len(rows)) < 0.1, dimension.draw(len(rows), rng), rows[:, i]
            )
    return rows
