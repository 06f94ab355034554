"""Confirmation: the best few retrained beside the baseline on the same seeds, scored on data the search never saw."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from actsearch.errors import InvalidValueError, StudyError
from actsearch.placement import Placement
from actsearch.placement.placement import write_text
from actsearch.search.executor import Executor
from actsearch.search.sampler import derive
from actsearch.search.specification import Outcome
from actsearch.search.statistics import Comparison, compare
from actsearch.search.study import StudyRun, write_best

BASELINE = 0


@dataclass
class Confirmation:
    """What a confirmation has measured.

    Args:
        metric: the metric that is scored.
        mode: the direction that is better.
        split: ``test``, or ``validation`` where the module has no test split (the search has seen that one).
        seeds: the seeds.
        candidates: numbers of the trials that are confirmed, the best by the search first.
        scores: by trial and seed (``"3:1234"``), the score; ``None`` where the training failed.
        failures: by trial and seed, why a training has no score.
        comparisons: one for each candidate, once all scores are there.
    """

    metric: str
    mode: str
    split: str
    seeds: list[int]
    candidates: list[int]
    scores: dict[str, float | None] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)

    @classmethod
    def read(cls, run: StudyRun) -> Self | None:
        """Return a study's confirmation, or ``None`` where there is none yet."""
        path = run.folder / "confirmation.json"
        if not path.exists():
            return None
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**data, "comparisons": [Comparison(**c) for c in data["comparisons"]]})

    def write(self, run: StudyRun) -> None:
        """Keep what has been measured so far."""
        write_text(run.folder / "confirmation.json", json.dumps(asdict(self), indent=1) + "\n")

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
        """The candidate with the largest mean gain, and its comparison."""
        return max(
            zip(self.candidates, self.comparisons, strict=True), key=lambda c: c[1].gain if c[1].pairs else -math.inf
        )

    def verdict(self) -> str:
        """Return the result in one sentence, as plainly as it is."""
        number, c = self.winner
        lost = f", {len(self.failures)} trainings failed" if self.failures else ""
        figures = f"{self.metric} {c.gain:+.4f}, 95 % interval [{c.low:+.4f}, {c.high:+.4f}], p = {c.p:.2g}, {c.pairs} paired seeds{lost}"
        of = f"corrected for {len(self.candidates)} candidates"
        if c.significant:
            return f"trial {number} is significantly better than the baseline: {figures}, {of}."
        return f"no significant difference from the baseline: the best candidate, trial {number}, has {figures}, {of}."


def confirm_study(
    run: StudyRun,
    executor: Executor,
    top: int = 3,
    seeds: int = 8,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Confirmation:
    """Retrain the best ``top`` candidates and the baseline with the same new seeds, and compare on the test split.

    What an earlier call measured for the same candidates and seeds is kept. Writes ``confirmation.json`` and ``best.json``.

    Args:
        run: the study.
        executor: where the trainings run.
        top: candidates that are confirmed.
        seeds: paired seeds; at least 2.
        jobs: how many trainings at a time.
        progress: called with (done, total).

    Raises:
        InvalidValueError: ``top`` < 1 or ``seeds`` < 2.
        StudyError: the study has no completed trial besides the baseline, or a first training of an arm fails.
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
    tested = result.split == "test"

    def pending() -> Iterator[tuple[int, int]]:
        for seed in result.seeds:
            for arm in arms:
                if f"{arm}:{seed}" not in result.scores:
                    yield arm, seed

    total = len(arms) * len(result.seeds)
    queue = list(pending())
    running: dict[int, tuple[int, int]] = {}
    progress(total - len(queue), total)
    key = 0
    while queue or running:
        while queue and len(running) < jobs:
            arm, seed = queue.pop(0)
            placement = arms[arm]
            data = None if placement is None else json.loads(placement.dumps())
            last = seed == result.seeds[-1]
            folder = str(_folder(run, arm)) if last else ""
            log = str(_folder(run, arm) / f"{seed}.log")
            executor.submit(
                key, run.plan.specification(data, "confirm", seed=seed, folder=folder, pictures=last, log=log)
            )
            running[key] = (arm, seed)
            key += 1
        for ended, outcome in executor.wait(lambda *_: False):
            arm, seed = running.pop(ended)
            result.scores[f"{arm}:{seed}"] = _score(outcome, result.metric, tested)
            if result.scores[f"{arm}:{seed}"] is None:
                result.failures[f"{arm}:{seed}"] = (
                    outcome.reason or f"{result.metric} is {outcome.metrics[result.metric]}"
                )
            result.write(run)
            progress(sum(1 for _ in result.scores), total)
    if not any(math.isfinite(d) for number in result.candidates for d in result.differences(number)):
        raise StudyError(
            f"no pair of trainings of the confirmation ended well. Their output is in {run.folder / 'confirmed'}."
        )
    result.comparisons = compare([result.differences(number) for number in result.candidates])
    result.write(run)
    _write(run, result, arms)
    return result


def _begin(run: StudyRun, candidates: list[int], seeds: int) -> Confirmation:
    tested = bool(run.probe.get("has_test"))
    metric = run.plan.test_metric if tested else run.plan.objectives[0].metric
    wanted = [derive(run.plan.seed, "confirm", index) for index in range(seeds)]
    result = Confirmation(metric, run.plan.objectives[0].mode, "test" if tested else "validation", wanted, candidates)
    earlier = Confirmation.read(run)
    if earlier is not None and earlier.metric == metric:
        keys = {f"{arm}:{seed}" for arm in [BASELINE, *candidates] for seed in wanted}
        result.scores = {key: value for key, value in earlier.scores.items() if key in keys and value is not None}
    return result


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


def _write(run: StudyRun, result: Confirmation, arms: dict[int, Placement | None]) -> None:
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
    }
    write_best(run, placement, found)
