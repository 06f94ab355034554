"""How many trainings each sampler needs: tables of finished trainings, replayed.

    python benchmarks/samplers.py                               # every sampler: some ten minutes
    python benchmarks/samplers.py --choices --seeds 5 --trainings 40

The second leaves out, one at a time, the choices of ``function_space`` that were made on tables of
trainings, and says what it comes to where the choice is made without the table it is judged by.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray

from actsearch.activations.expression.generate import mutate
from actsearch.activations.expression.grammar import ExpressionError
from actsearch.errors import ActsearchError, InvalidValueError, UnknownNameError
from actsearch.search.samplers.function_space import FunctionSpaceSampler
from actsearch.search.samplers.function_space.features import Features, compute
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]

TABLES = Path(__file__).parent / "tables"
MARKS = (10, 20, 40, 80)
COMMON = DEFAULTS.initial_activations
REPLAYED = 0.9
"""Each seed replays its own nine tenths of a table: a sampler that draws nothing has a band too."""

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
            : round(REPLAYED * len(self.activations))
        ]
        common = [i for i, name in enumerate(self.activations) if name in COMMON]
        rows = np.union1d(kept, common)
        return Table(self.name, tuple(self.activations[i] for i in rows), self.scores[rows])

    def regret(self, rows: Sequence[int]) -> Array:
        """Return (best - best found) / (best - median) after each training."""
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
        """Return mean, and 10 % and 90 % quantile over seeds, after that many trainings."""
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
    rng, draws = np.random.default_rng(seed), random.Random(seed)  # reproducible draws, no secret
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
    """UMAP of the outputs to two dimensions, and the mean of the three nearest trained ones."""
    try:
        umap = importlib.import_module("umap")  # no dependency of ours: it takes 19 s to import
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


CONTESTANTS: Mapping[str, Proposals] = {
    "random": _study(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
    "tpe": _study(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "gp": _study(lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "evolution": _evolution,
    "umap": _umap,
    "function_space": _study(lambda seed: FunctionSpaceSampler(seed=seed)),
}


def _with(experience: bool = True, **settings: Any) -> Proposals:
    return _study(
        lambda seed: FunctionSpaceSampler(
            seed=seed, experience=experience, settings=Settings(**settings)
        )
    )


BEGINNINGS: Mapping[str, Proposals] = {
    "as shipped": _with(),
    "begin with three": _with(initial_with_transfer=3),
    "begin with six": _with(initial_with_transfer=6),
}
NEUTRAL_WEIGHT = {"weight_mean": 0.0, "weight_variance": 1.0}
NEUTRAL = {"process_variance": 1.0, "constant_variance": 1.0, "all_odds": 1.0, **NEUTRAL_WEIGHT}
CONSTANTS: Mapping[str, Proposals] = {
    "as shipped": BEGINNINGS["as shipped"],
    "process_variance 1": _with(process_variance=1.0),
    "constant_variance 1": _with(constant_variance=1.0),
    "weights N(0, 1)": _with(**NEUTRAL_WEIGHT),
    "all_odds 1": _with(all_odds=1.0),
    "all four neutral": _with(**NEUTRAL),
}
CHOICES: Mapping[str, Proposals] = {
    **BEGINNINGS,
    **CONSTANTS,
    "no transfer": _with(experience=False),
    "no transfer, begin with relu": _with(experience=False, initial_activations=("relu",)),
}
"""``function_space`` with one choice made in another way: at a neutral value, or left out."""


def named(names: Sequence[str]) -> dict[str, Proposals]:
    """Return samplers by name.

    Raises:
        UnknownNameError: no such sampler.
    """
    for name in names:
        if name not in CONTESTANTS:
            raise UnknownNameError.among("sampler", name, CONTESTANTS)
    return {name: CONTESTANTS[name] for name in names}


def bench_sampler(
    samplers: Mapping[str, Proposals] = CONTESTANTS,
    folder: Path = TABLES,
    trainings: int = MARKS[-1],
    seeds: int = 10,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Curves]:
    """Replay every table of a folder with samplers, and return the normalised regret of each.

    Args:
        samplers: by name.
        folder: with the tables, CSV files as ``benchmarks/tables/make.py`` writes them.
        trainings: of each replay.
        seeds: replays of each table; each has its own nine tenths of the activations.
        progress: called with a line after each sampler.

    Raises:
        InvalidValueError: no table in the folder, or a table that is none.
    """
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
        for name, proposals in samplers.items():
            start = time.perf_counter()
            regret = np.array(
                [
                    [_replay(proposals, table.part(seed), seed, trainings) for seed in range(seeds)]
                    for table in tables
                ]
            )
            curves = Curves(regret, (time.perf_counter() - start) / regret.size)
            result[name] = curves
            marks = (f"{curves.at(mark)[0]:.3f} at {mark}" for mark in _marks(trainings))
            progress(f"{name}: {', '.join(marks)}")
        return result
    finally:
        optuna.logging.set_verbosity(verbosity)


def _replay(proposals: Proposals, table: Table, seed: int, trainings: int) -> Array:
    rows = itertools.islice(proposals(table, compute(table.activations), seed), trainings)
    return table.regret(list(rows))


def chosen_elsewhere(result: Mapping[str, Curves]) -> Curves:
    """Return what each table comes to with what is best on all other tables.

    The best is what has the least regret on average over the trainings.
    """
    every = np.array([curves.regret for curves in result.values()])
    mean = every.mean((2, 3))
    best = [np.argmin(np.delete(mean, table, 1).mean(1)) for table in range(every.shape[1])]
    regret = np.array([every[choice, table] for table, choice in enumerate(best)])
    return Curves(regret, float(np.mean([curves.seconds for curves in result.values()])))


def _marks(trainings: int) -> list[int]:
    return [mark for mark in MARKS if mark <= trainings] or [trainings]


def as_text(result: Mapping[str, Curves]) -> str:
    """Return a table: mean normalised regret with its 10 % to 90 % band over seeds."""
    trainings = next(iter(result.values())).regret.shape[2]
    marks = _marks(trainings)
    width = max(16, *(len(name) + 2 for name in result))
    head = "".join(f"{f'after {mark}':>24}" for mark in marks)
    lines = [f"{'sampler':<{width}}{head}{'s a proposal':>14}"]
    for name, curves in result.items():
        cells = "".join(
            f"{'{:.3f} [{:.3f}, {:.3f}]'.format(*curves.at(mark)):>24}" for mark in marks
        )
        lines.append(f"{name:<{width}}{cells}{curves.seconds:>14.3f}")
    return "\n".join(lines)


def by_table(result: Mapping[str, Curves], tables: Sequence[str]) -> str:
    """Return a table of the mean normalised regret at every mark, of each table alone."""
    trainings = next(iter(result.values())).regret.shape[2]
    lines = [
        f"{'at ' + '/'.join(map(str, _marks(trainings))):<30}" + "".join(f"{t:>26}" for t in tables)
    ]
    for name, curves in result.items():
        mean = curves.regret.mean(1)
        cells = ("/".join(f"{row[mark - 1]:.3f}" for mark in _marks(trainings)) for row in mean)
        lines.append(f"{name:<30}" + "".join(f"{cell:>26}" for cell in cells))
    return "\n".join(lines)


def picture(result: Mapping[str, Curves], path: Path) -> Path:
    """Draw the mean normalised regret over trainings, with its band over seeds."""
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


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=(
            "Replay tables of finished trainings: normalised regret after so many trainings, (best"
            " in table - best found) / (best - median), mean and 10 % to 90 % band over seeds. All"
            " samplers take some ten minutes."
        ),
    )
    parser.add_argument(
        "--samplers",
        nargs="+",
        default=list(CONTESTANTS),
        help=f"of {', '.join(CONTESTANTS)} (default: all)",
    )
    parser.add_argument(
        "--choices",
        action="store_true",
        help="instead of samplers, function_space with each choice left out",
    )
    parser.add_argument(
        "--tables",
        type=Path,
        default=TABLES,
        help="folder with tables, as benchmarks/tables/make.py writes",
    )
    parser.add_argument("--trainings", type=int, default=80, help="of each replay (default: 80)")
    parser.add_argument("--seeds", type=int, default=10, help="replays of each table (default: 10)")
    parser.add_argument(
        "--picture", type=Path, help="draw the regret over trainings into this file"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        samplers = CHOICES if options.choices else named(options.samplers)
        result = bench_sampler(samplers, options.tables, options.trainings, options.seeds, print)
    except ActsearchError as error:
        parser.error(str(error))
    if options.choices:
        for what, group in {"beginning": BEGINNINGS, "constants": CONSTANTS}.items():
            curves = chosen_elsewhere({name: result[name] for name in group})
            result[f"{what} by other tables"] = curves
        print(by_table(result, [path.stem for path in sorted(options.tables.glob("*.csv"))]))
    print(as_text(result))
    if options.picture:
        print(f"picture: {picture(result, options.picture)}")


if __name__ == "__main__":
    main()
