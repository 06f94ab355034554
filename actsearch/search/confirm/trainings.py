"""The trainings of a confirmation: each arm with each seed, once, and the scores kept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from actsearch.errors import StudyError
from actsearch.placement import Placement
from actsearch.placement.files import write_text
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.confirm.racing import BASELINE
from actsearch.search.executors.executor import Executor
from actsearch.search.study.record import StudyRun
from actsearch.search.training.job import Job, Result
from actsearch.search.training.seeds import derive


@dataclass(frozen=True)
class Arm:
    """What is trained again and again.

    Args:
        name: ``0`` for the baseline, the number of a trial, ``untouched``, or ``7@own``.
        placement: what stands where; ``None`` for the model's own activations.
        factor: on the learning rate.
    """

    name: str
    placement: Placement | None
    factor: float


class Trainings:
    """Trains arms with seeds, each cell once, and keeps the scores in a confirmation.

    Args:
        run: the study.
        executor: where the trainings run.
        jobs: how many at a time.
        result: has the scores of earlier calls, and gets the new ones.
        progress: called with (done, most).
        most: trainings.

    Attributes:
        stacks: whether the seeds of an arm are tried as one network.
    """

    def __init__(
        self,
        run: StudyRun,
        executor: Executor,
        jobs: int,
        result: Confirmation,
        progress: Callable[[int, int], None],
        most: int,
    ) -> None:
        self.run, self.executor, self.jobs, self.result = run, executor, jobs, result
        self.progress, self.most = progress, most
        self.asked = 0
        self.stacks = run.job(None).stacked
        self._alone: set[str] = set()
        self._kept: set[str] = set()
        self._key = 0

    def train(self, cells: Sequence[tuple[Arm, int]], keep: bool = False) -> list[float]:
        """Return the score of each arm and seed; NaN for one that failed.

        Args:
            cells: arms and seeds.
            keep: whether the weights and pictures of each arm's first seed are kept.
        """
        missing = [
            (arm, seed) for arm, seed in cells if f"{arm.name}:{seed}" not in self.result.scores
        ]
        first = {
            arm.name: seed for arm, seed in reversed(missing) if keep and arm.name not in self._kept
        }
        self._kept.update(first)
        done = self.asked + len(cells) - len(missing)
        self.asked += len(cells)
        self.progress(done, self.most)
        for ended, _ in enumerate(self._run(missing, first), done + 1):
            self.result.write(self.run)
            self.progress(ended, self.most)
        return [self.result.score(arm.name, seed) for arm, seed in cells]

    def end(self) -> None:
        """Tell that no more is trained."""
        self.progress(self.asked, self.asked)

    def rows(self, arm: str, other: str) -> list[float] | None:
        """Return the difference of two arms at each test row, averaged over the seeds.

        ``None`` where it is not known.
        """
        if self.result.split_option:  # the rows are others with every seed
            return None
        found = []
        for seed in self.result.seeds:
            pair = [_rows_file(self.run, name, seed) for name in (arm, other)]
            if all(path.exists() for path in pair):
                found.append([json.loads(path.read_text(encoding="utf-8")) for path in pair])
        lengths = {len(values) for pair in found for values in pair}
        if len(lengths) != 1:
            return None
        sign = 1 if self.result.mode == "max" else -1
        values = np.array(found)
        averaged: list[float] = (sign * (values[:, 0] - values[:, 1])).mean(0).tolist()
        return averaged

    def _run(
        self, queue: Sequence[tuple[Arm, int]], keep: Mapping[str, int]
    ) -> Iterator[tuple[Arm, int]]:
        waiting = self._groups(queue)
        running: dict[int, tuple[Arm, list[int]]] = {}
        while waiting or running:
            while waiting and len(running) < self.jobs:
                arm, seeds = running[self._key] = waiting.pop(0)
                self._submit(arm, seeds, keep.get(arm.name) == seeds[0])
                self._key += 1
            for ended, outcome in self.executor.wait(lambda *_: False):
                arm, seeds = running.pop(ended)
                if len(outcome.further) < len(seeds) - 1:  # not as one, or one of them failed
                    waiting = [(arm, [seed]) for seed in seeds] + waiting
                    self._alone |= {arm.name} if outcome.one_by_one else set()
                    self.result.cpu += outcome.cpu
                    continue
                for seed, result in zip(seeds, [outcome, *outcome.further], strict=True):
                    self._note(arm, seed, result)
                    yield arm, seed

    def _groups(self, cells: Sequence[tuple[Arm, int]]) -> list[tuple[Arm, list[int]]]:
        """Return what is trained by one job each: all seeds of an arm where they can be stacked."""
        groups: dict[object, tuple[Arm, list[int]]] = {}
        for arm, seed in cells:
            alone = not self.stacks or arm.name in self._alone
            groups.setdefault((arm.name, seed) if alone else arm.name, (arm, []))[1].append(seed)
        return list(groups.values())

    def _submit(self, arm: Arm, seeds: Sequence[int], kept: bool) -> None:
        folder = _folder(self.run, arm.name)
        first, *further = [self._job(arm, seed) for seed in seeds]
        job = replace(
            first,
            folder=str(folder) if kept else "",
            pictures=kept,
            log=str(folder / f"{seeds[0]}.log"),
            further=further,
        )
        self.executor.submit(self._key, job)

    def _job(self, arm: Arm, seed: int) -> Job:
        details = {"seed": seed, "split": self._split(seed), "learning_rate_factor": arm.factor}
        return self.run.job(arm.placement, "confirm", **details)

    def _split(self, seed: int) -> tuple[str, int] | None:
        option = self.result.split_option
        return (option, derive(self.run.config.seed, "split", seed) % 2**31) if option else None

    def _note(self, arm: Arm, seed: int, outcome: Result) -> None:
        metric = self.result.metric
        self.result.cpu += outcome.cpu
        score = _score(outcome, metric, self.result.split == "test")
        self.result.scores[f"{arm.name}:{seed}"] = score
        if score is None:
            reason = outcome.reason or f"{metric} is {outcome.metrics[metric]}"
            self.result.failures[f"{arm.name}:{seed}"] = reason
        elif len(rows := outcome.rows.get(metric, [])) > 1:
            write_text(_rows_file(self.run, arm.name, seed), json.dumps(rows))


def _folder(run: StudyRun, arm: str) -> Path:
    if arm == str(BASELINE):
        arm = "baseline"
    elif arm.isdecimal():
        arm = f"{int(arm):05d}"
    return run.folder / "confirmed" / arm


def _rows_file(run: StudyRun, arm: str, seed: int) -> Path:
    return _folder(run, arm) / f"{seed}.rows.json"


def _score(outcome: Result, metric: str, tested: bool) -> float | None:
    if outcome.state != "complete":
        return None
    if metric not in outcome.metrics:
        logged = ", ".join(sorted(outcome.metrics))
        where = "test" if tested else "validation"
        raise StudyError(
            f"metric {metric!r} must be logged in {where}, but the module logs {logged}. Name one"
            " with --test-metric."
        )
    value = outcome.metrics[metric]
    return value if math.isfinite(value) else None
