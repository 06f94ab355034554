"""Confirmation: the best few race, and the best of them is compared with the baseline, on data the search never saw."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from actsearch.errors import InvalidValueError, StudyError
from actsearch.placement import Placement
from actsearch.placement.placement import write_text
from actsearch.search.executor import Executor
from actsearch.search.plan import LEARNING_RATE
from actsearch.search.sampler import derive
from actsearch.search.specification import Outcome
from actsearch.search.statistics import BASELINE, Comparison, compare, race
from actsearch.search.study import StudyRun, write_best

_UNKNOWN = {"gain": math.nan, "low": -math.inf, "high": math.inf}
"""What ``null`` stands for in the file: JSON has no number for these."""


@dataclass
class Confirmation:
    """What a confirmation has measured.

    Args:
        metric: the metric that is scored.
        mode: the direction that is better.
        split: ``test``, or ``validation`` where the module has no test split (the search has seen that one).
        seeds: the seeds that compare the selected candidate with the baseline.
        candidates: numbers of the trials that are confirmed, the best by the search first.
        scores: by trial and seed (``"3:1234"``), the score; ``None`` where the training failed. Those of earlier calls
            stay, to be used again.
        failures: by trial and seed, why a training has no score.
        comparisons: one for each candidate, once the race has ended; without pairs for those that were not selected.
        selection: the seeds that selected the candidate; the baseline was not trained with these.
        given: for each candidate, how many seeds it was trained with, once the race has ended.
        budget: the most trainings the race may take.
        looks: how many verdicts on this study there are with this one.
    """

    metric: str
    mode: str
    split: str
    seeds: list[int]
    candidates: list[int]
    scores: dict[str, float | None] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    selection: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    budget: int = 0
    looks: int = 1

    @classmethod
    def read(cls, run: StudyRun) -> Self | None:
        """Return a study's confirmation, or ``None`` where there is none yet."""
        path = run.folder / "confirmation.json"
        if not path.exists():
            return None
        data = json.loads(path.read_text(encoding="utf-8"))
        for comparison in data["comparisons"]:
            comparison.update({key: value for key, value in _UNKNOWN.items() if comparison[key] is None})
        comparisons = [Comparison(**comparison) for comparison in data["comparisons"]]
        return cls(**{**data, "comparisons": comparisons})

    def write(self, run: StudyRun) -> None:
        """Keep what has been measured so far."""
        data = asdict(self)
        for comparison in data["comparisons"]:
            comparison.update({key: None for key in _UNKNOWN if not math.isfinite(comparison[key])})
        write_text(run.folder / "confirmation.json", json.dumps(data, indent=1, allow_nan=False) + "\n")

    def score(self, trial: int, seed: int) -> float:
        """Return a score, NaN where there is none."""
        value = self.scores.get(f"{trial}:{seed}")
        return math.nan if value is None else value

    def differences(self, trial: int) -> list[float]:
        """Return the paired differences with the baseline, positive where the candidate is better."""
        sign = 1 if self.mode == "max" else -1
        return [sign * (self.score(trial, seed) - self.score(BASELINE, seed)) for seed in self.seeds]

    @property
    def winner(self) -> tuple[int, Comparison]:
        """The candidate that was selected, and its comparison."""
        return max(
            zip(self.candidates, self.comparisons, strict=True), key=lambda c: c[1].gain if c[1].pairs else -math.inf
        )

    def verdict(self) -> str:
        """Return the result in one sentence, as plainly as it is."""
        number, c = self.winner
        lost = f", {len(self.failures)} trainings failed" if self.failures else ""
        figures = f"{self.metric} {c.gain:+.4f}, 95 % interval [{c.low:+.4f}, {c.high:+.4f}], p = {c.p:.2g}, {c.pairs} paired seeds{lost}"
        if self.selection:
            figures += f", selected from {len(self.candidates)} candidates on {len(self.selection)} other seeds"
        if self.looks > 1:
            figures += f", corrected for {self.looks} verdicts on this study"
        if c.significant:
            return f"trial {number} is significantly better than the baseline: {figures}."
        return f"no significant difference from the baseline: the best candidate, trial {number}, has {figures}."


def confirm_study(
    run: StudyRun,
    executor: Executor,
    top: int = 3,
    seeds: int = 8,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Confirmation:
    """Let the best ``top`` candidates race with the same new seeds, and compare the winner with the baseline.

    The race is :func:`actsearch.search.statistics.race`. What an earlier call measured is used again, so a call with
    more seeds adds to it; the later verdict is corrected for there being an earlier one. Writes ``confirmation.json``
    and ``best.json``.

    Args:
        run: the study.
        executor: where the trainings run.
        top: candidates that are confirmed.
        seeds: trainings for each candidate and the baseline on average, at least 2: ``(top + 1) * seeds`` trainings at
            most, more of them for the candidate that is selected and fewer for those that are dropped.
        jobs: how many trainings at a time.
        progress: called with (done, most).

    Raises:
        InvalidValueError: ``top`` < 1 or ``seeds`` < 2.
        StudyError: the study has no completed trial besides the baseline, or no pair of trainings ends well.
    """
    if top < 1 or seeds < 2:
        raise InvalidValueError(f"a confirmation must have top >= 1 and seeds >= 2, but got {top=}, {seeds=}.")
    trials = {trial.number: trial for trial in run.candidates(top)}
    if not trials:
        raise StudyError(
            f"study {run.name!r} must have a completed trial besides the baseline to confirm. Run more trials."
        )
    result = _begin(run, list(trials), seeds)
    arms: dict[int, Placement | None] = {BASELINE: None}
    arms.update((number, run.placement(trial)) for number, trial in trials.items())
    factors = {BASELINE: run.factor(run.baseline), **{n: run.factor(trial) for n, trial in trials.items()}}
    asked: list[tuple[int, int]] = []
    weights: set[int] = set()

    def measure(cells: Sequence[tuple[int, int]]) -> list[float]:
        wanted = [(list(arms)[arm], _seed(run, index)) for arm, index in cells]
        missing = [cell for cell in wanted if "{}:{}".format(*cell) not in result.scores]
        comparing = any(number == BASELINE for number, _ in wanted)
        first = {number: seed for number, seed in reversed(missing) if comparing and number not in weights}
        weights.update(first)
        asked.extend(cells)
        before = len(asked) - len(missing)
        progress(before, result.budget)
        for ended, _ in enumerate(_train(run, executor, jobs, result, arms, factors, missing, first), before + 1):
            result.write(run)
            progress(ended, result.budget)
        sign = 1 if result.mode == "max" else -1
        return [sign * result.score(*cell) for cell in wanted]

    raced = race(measure, len(trials), seeds, result.looks)
    if not raced.comparison.pairs:
        raise StudyError(
            f"no pair of trainings of the confirmation ended well. Their output is in {run.folder / 'confirmed'}."
        )
    used = 1 + max(index for _, index in asked)
    result.selection = [_seed(run, index) for index in range(raced.selection)]
    result.seeds = [_seed(run, index) for index in range(raced.selection, used)]
    result.given = raced.given
    result.comparisons = [raced.comparison if arm == raced.selected else compare([]) for arm in range(1, len(arms))]
    result.write(run)
    progress(len(asked), len(asked))
    _write(run, result, arms, factors)
    return result


def _train(
    run: StudyRun,
    executor: Executor,
    jobs: int,
    result: Confirmation,
    arms: dict[int, Placement | None],
    factors: dict[int, float],
    queue: list[tuple[int, int]],
    keep: dict[int, int],
) -> Iterator[tuple[int, int]]:
    """Train each (trial, seed) of the queue, put its score into the result, and yield it.

    ``keep`` says, for some trials, the seed whose weights and pictures are kept.
    """
    queue = list(queue)
    running: dict[int, tuple[int, int]] = {}
    key = 0
    while queue or running:
        while queue and len(running) < jobs:
            arm, seed = running[key] = queue.pop(0)
            placement = arms[arm]
            data = None if placement is None else json.loads(placement.dumps())
            kept = keep.get(arm) == seed
            folder = str(_folder(run, arm)) if kept else ""
            log = str(_folder(run, arm) / f"{seed}.log")
            details = {
                "seed": seed,
                "learning_rate_factor": factors[arm],
                "folder": folder,
                "pictures": kept,
                "log": log,
            }
            executor.submit(key, run.specification(data, "confirm", **details))
            key += 1
        for ended, outcome in executor.wait(lambda *_: False):
            arm, seed = running.pop(ended)
            score = _score(outcome, result.metric, result.split == "test")
            result.scores[f"{arm}:{seed}"] = score
            if score is None:
                reason = outcome.reason or f"{result.metric} is {outcome.metrics[result.metric]}"
                result.failures[f"{arm}:{seed}"] = reason
            yield arm, seed


def _begin(run: StudyRun, candidates: list[int], seeds: int) -> Confirmation:
    tested = bool(run.probe.get("has_test"))
    metric = run.plan.test_metric if tested else run.plan.objectives[0].metric
    result = Confirmation(metric, run.plan.objectives[0].mode, "test" if tested else "validation", [], candidates)
    result.budget = (len(candidates) + 1) * seeds
    earlier = Confirmation.read(run)
    if earlier is not None and earlier.metric == metric:
        result.scores = {key: value for key, value in earlier.scores.items() if value is not None}
        same = (earlier.candidates, earlier.budget) == (result.candidates, result.budget)
        result.looks = earlier.looks + bool(earlier.comparisons and not same)
    return result


def _seed(run: StudyRun, index: int) -> int:
    return derive(run.plan.seed, "confirm", index)


def _folder(run: StudyRun, arm: int) -> Path:
    return run.folder / "confirmed" / ("baseline" if arm == BASELINE else f"{arm:05d}")


def _score(outcome: Outcome, metric: str, tested: bool) -> float | None:
    if outcome.state != "complete":
        return None
    if metric not in outcome.metrics:
        logged = ", ".join(sorted(outcome.metrics))
        where = "test" if tested else "validation"
        raise StudyError(
            f"metric {metric!r} must be logged in {where}, but the module logs {logged}. Name one with --test-metric."
        )
    value = outcome.metrics[metric]
    return value if math.isfinite(value) else None


def _write(run: StudyRun, result: Confirmation, arms: dict[int, Placement | None], factors: dict[int, float]) -> None:
    number, c = result.winner
    placement = arms[number]
    assert placement is not None
    found = {
        "trial": number,
        "metric": result.metric,
        "split": result.split,
        "gain": c.gain,
        "interval": [c.low, c.high] if math.isfinite(c.low) else None,
        "p": c.p,
        "seeds": c.pairs,
        "candidates": len(result.candidates),
        "significant": c.significant,
        LEARNING_RATE: factors[number],
    }
    write_best(run, placement, found)
