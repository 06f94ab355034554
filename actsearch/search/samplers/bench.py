"""Replay tables of finished trainings with several samplers: how many trainings each needs."""

from __future__ import annotations

import csv
import importlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray

from actsearch.activations.expression.generate import mutate
from actsearch.activations.expression.grammar import ExpressionError
from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.search.samplers.function_space import FunctionSpaceSampler
from actsearch.search.samplers.function_space.candidates import COMMON
from actsearch.search.samplers.function_space.features import Features, compute

Array = NDArray[np.float64]

TABLES = Path(__file__).parents[3] / "benchmarks" / "tables"
MARKS = (10, 20, 40, 80)
SHARE = 0.9
"""Each seed replays its own nine tenths of a table's activations: a sampler that draws nothing has a band as well."""

Proposals = Callable[["Table", Features, int], Iterator[int]]
"""From a table, its features and a seed to the rows that are trained, in order.

It may look at the rows it has yielded.
"""


@dataclass(frozen=True)
class Table:
    """Activations, and the score that each came to: larger is better.

    Args:
        name: of the problem.
        activations: names and expressions, all different.
        scores: mean over the seeds; a training that diverged has the worst score.
    """

    name: str
    activations: tuple[str, ...]
    scores: Array

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read a CSV file: a header, then an activation and its score for each seed on every line.

        Raises:
            InvalidValueError: not such a file.
        """
        try:
            with path.open(newline="", encoding="utf-8") as file:
                _, *lines = csv.reader(file)
            scores = np.array([[float(value) for value in line[1:]] for line in lines]).mean(1)
        except (OSError, ValueError) as error:
            raise InvalidValueError(
                f"table must be a CSV file of activations and scores, but got {path}: {error}."
            ) from None
        return cls(
            path.stem,
            tuple(line[0] for line in lines),
            np.nan_to_num(scores, nan=np.nanmin(scores)),
        )

    def part(self, seed: int) -> Table:
        """Return the part of the table that a seed replays.

        The common activations are always in it.
        """
        kept = np.random.default_rng(seed).permutation(len(self.activations))[
            : round(SHARE * len(self.activations))
        ]
        common = [i for i, name in enumerate(self.activations) if name in COMMON]
        rows = np.union1d(kept, common)
        return Table(self.name, tuple(self.activations[i] for i in rows), self.scores[rows])

    def regret(self, rows: Sequence[int]) -> Array:
        """Return the normalised regret after each training: (best - best found) / (best - median)."""
        best = self.scores.max()
        result: Array = (best - np.maximum.accumulate(self.scores[list(rows)])) / (
            best - np.median(self.scores)
        )
        return result


@dataclass(frozen=True)
class Curves:
    """The normalised regret of one sampler.

    Args:
        regret: (tables, seeds, trainings).
        seconds: a proposal, on average.
    """

    regret: Array
    seconds: float

    def at(self, trainings: int) -> tuple[float, float, float]:
        """Return mean, and the tenth and ninetieth percentile over tables and seeds, after that many trainings."""
        values = self.regret[:, :, trainings - 1]
        low, high = np.quantile(values.mean(0), [0.1, 0.9])
        return float(values.mean()), float(low), float(high)

    def needed(self, regret: float) -> int | None:
        """Return how many trainings the mean takes to get down to a regret.

        ``None`` where it does not.
        """
        below = (self.regret.mean((0, 1)) <= regret).nonzero()[0]
        return int(below[0]) + 1 if len(below) else None


def _study(make: Callable[[int], optuna.samplers.BaseSampler]) -> Proposals:
    def run(table: Table, features: Features, seed: int) -> Iterator[int]:
        places = {name: i for i, name in enumerate(table.activations)}
        study = optuna.create_study(direction="maximize", sampler=make(seed))
        while True:
            trial = study.ask()
            row = places[trial.suggest_categorical("activation", table.activations)]
            yield row
            study.tell(trial, float(table.scores[row]))

    return run


def _start(table: Table, rng: np.random.Generator) -> list[int]:
    common = [table.activations.index(name) for name in COMMON if name in table.activations]
    return common or list(rng.choice(len(table.activations), len(COMMON), replace=False))


def _evolution(table: Table, features: Features, seed: int) -> Iterator[int]:
    """Regularised evolution: the oldest of 20 dies.

    A mutation is the nearest untried activation to the mutated one.
    """
    rng, draws = np.random.default_rng(seed), random.Random(seed)  # noqa: S311  # reproducible draws, no secret
    tried: list[int] = list(rng.choice(len(table.activations), 20, replace=False))
    population = list(tried)
    yield from tried
    while len(tried) < len(table.activations):
        parent = max(rng.choice(population, 5, replace=False), key=lambda row: table.scores[row])
        name = table.activations[parent]
        try:
            child = compute([mutate(name if "(" in name or name == "x" else f"{name}(x)", draws)])
            squared = ((features.values - child.values) ** 2).sum(1)
        except ExpressionError:  # an activation of the catalogue that no expression is
            squared = ((features.values - features.values[parent]) ** 2).sum(1)
        squared[tried] = np.inf
        row = int(np.argmin(squared))
        tried.append(row)
        population = [*population[1:], row]
        yield row


def _umap(table: Table, features: Features, seed: int) -> Iterator[int]:
    """UMAP of the outputs to two dimensions, and the mean of the three nearest that were trained."""
    try:
        umap = importlib.import_module(
            "umap"
        )  # not among the dependencies: it takes 19 s to import
    except ImportError:
        raise InvalidValueError(
            "sampler umap must have umap-learn installed, but it is not. `pip install umap-learn`."
        ) from None
    places = umap.UMAP(n_components=2, random_state=seed, n_jobs=1).fit_transform(features.values)
    tried = _start(table, np.random.default_rng(seed))
    yield from tried
    while len(tried) < len(table.activations):
        squared = ((places[:, None] - places[tried][None]) ** 2).sum(2)
        nearest = np.argpartition(squared, 3, axis=1)[:, :3]
        expected = table.scores[np.array(tried)][nearest].mean(1)
        expected[tried] = -np.inf
        tried.append(int(np.argmax(expected)))
        yield tried[-1]


SAMPLERS: Mapping[str, Proposals] = {
    "random": _study(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
    "tpe": _study(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "gp": _study(lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "evolution": _evolution,
    "umap": _umap,
    "function_space": _study(lambda seed: FunctionSpaceSampler(seed=seed)),
}


def bench_sampler(
    names: Sequence[str] = tuple(SAMPLERS),
    folder: Path = TABLES,
    trainings: int = MARKS[-1],
    seeds: int = 10,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Curves]:
    """Replay every table of a folder with samplers, and return the normalised regret of each.

    Args:
        names: of the samplers.
        folder: with the tables, CSV files as ``benchmarks/tables/make.py`` writes them.
        trainings: of each replay.
        seeds: replays of each table; each has its own nine tenths of the activations.
        progress: called with a line after each sampler.

    Raises:
        UnknownNameError: no such sampler.
        InvalidValueError: no table in the folder, or a table that is none.
    """
    for name in names:
        if name not in SAMPLERS:
            raise UnknownNameError.among("sampler", name, SAMPLERS)
    tables = [Table.read(path) for path in sorted(folder.glob("*.csv"))]
    if not tables:
        raise InvalidValueError(
            f"folder must hold tables, but {folder} has none. `python benchmarks/tables/make.py`"
            " makes them."
        )
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        result = {}
        for name in names:
            start = time.perf_counter()
            regret = np.array(
                [
                    [_replay(name, table.part(seed), seed, trainings) for seed in range(seeds)]
                    for table in tables
                ]
            )
            result[name] = Curves(regret, (time.perf_counter() - start) / regret.size)
            progress(
                f"{name}:"
                f" {', '.join(f'{result[name].at(m)[0]:.3f} at {m}' for m in _marks(trainings))}"
            )
        return result
    finally:
        optuna.logging.set_verbosity(verbosity)


def _replay(name: str, table: Table, seed: int, trainings: int) -> Array:
    rows = [
        row
        for row, _ in zip(
            SAMPLERS[name](table, compute(table.activations), seed), range(trainings), strict=False
        )
    ]
    return table.regret(rows)


def _marks(trainings: int) -> list[int]:
    return [mark for mark in MARKS if mark <= trainings] or [trainings]


def as_text(result: Mapping[str, Curves]) -> str:
    """Return the result as a table: mean normalised regret with its 10 % to 90 % band over seeds."""
    trainings = next(iter(result.values())).regret.shape[2]
    marks = _marks(trainings)
    lines = [
        f"{'sampler':<16}"
        + "".join(f"{f'after {mark}':>24}" for mark in marks)
        + f"{'s a proposal':>14}"
    ]
    for name, curves in result.items():
        cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*curves.at(mark)) for mark in marks]
        lines.append(
            f"{name:<16}" + "".join(f"{cell:>24}" for cell in cells) + f"{curves.seconds:>14.3f}"
        )
    return "\n".join(lines)


def picture(result: Mapping[str, Curves], path: Path) -> Path:
    """Write a picture of the mean normalised regret over trainings, with its band over seeds, and return its path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, curves in result.items():
        over_tables = curves.regret.mean(0)
        steps = np.arange(1, over_tables.shape[1] + 1)
        (line,) = axes.plot(steps, over_tables.mean(0), label=name)
        axes.fill_between(
            steps, *np.quantile(over_tables, [0.1, 0.9], axis=0), color=line.get_color(), alpha=0.15
        )
    axes.set(xlabel="trainings", ylabel="normalised regret", yscale="log", ylim=(2e-3, None))
    axes.legend()
    figure.savefig(path, dpi=150)
    return path
