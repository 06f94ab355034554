"""Confirmation: the best few race, and the best of them is compared with the baseline.

The data are ones that the search never saw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from actsearch.errors import InvalidValueError, StudyError
from actsearch.search.confirm.confirmation import UNTOUCHED, Confirmation
from actsearch.search.confirm.racing import BASELINE, Comparison, compare, race
from actsearch.search.confirm.trainings import Arm, Trainings
from actsearch.search.executors.executor import Executor
from actsearch.search.study.placement_file import significant_digits, write_best
from actsearch.search.study.record import StudyRun
from actsearch.search.training.seeds import derive

DESCRIBED = 8
"""Seeds that tell what the winner brings at the model's own learning rate.

That is a description, which decides nothing.
"""


def most_trainings(run: StudyRun, top: int, seeds: int) -> int:
    """Return how many trainings a confirmation takes at most."""
    race_ = (top + 1) * seeds
    return race_ if run.factor(run.baseline) == 1.0 else race_ + race_ // 2 + DESCRIBED


def confirm_study(
    run: StudyRun,
    executor: Executor,
    top: int = 3,
    seeds: int = 8,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Confirmation:
    """Let the best ``top`` race with the same new seeds, and compare the winner with the baseline.

    The race is :func:`actsearch.search.confirm.racing.race`. Where the data are divided by a seed
    (the study's ``split_option``), each seed of the race has a division of its own. Where the
    baseline was tuned, the model as it is trains beside the others on the seeds of the comparison,
    and a winner once more at the model's own learning rate. What an earlier call measured is used
    again, so a call with more seeds adds to it; the later verdict is corrected for there being an
    earlier one. Writes ``confirmation.json``, and ``best.json`` for a winner, else
    ``candidate.json``.

    Args:
        run: the study.
        executor: where the trainings run.
        top: candidates that are confirmed.
        seeds: trainings for each candidate and the baseline on average, at least 2: ``(top + 1) *
            seeds`` trainings of the race at most, more of them for the candidate that is selected
            and fewer for those that are dropped.
        jobs: how many trainings at a time.
        progress: called with (done, most).

    Raises:
        InvalidValueError: ``top`` < 1 or ``seeds`` < 2.
        StudyError: the study has no completed trial besides the baseline, or no pair of trainings
            ends well.
    """
    if top < 1 or seeds < 2:
        raise InvalidValueError(
            f"a confirmation must have top >= 1 and seeds >= 2, but got {top=}, {seeds=}."
        )
    trials = {trial.number: trial for trial in run.candidates(top)}
    if not trials:
        raise StudyError(
            f"study {run.name!r} must have a completed trial besides the baseline to confirm. Run"
            " more trials."
        )
    arms = [Arm(str(BASELINE), None, run.factor(run.baseline))]
    arms += [
        Arm(str(number), run.placement(trial), run.factor(trial))
        for number, trial in trials.items()
    ]
    result = _begin(run, list(trials), seeds, {arm.name: arm.factor for arm in arms})
    trainings = Trainings(
        run, executor, jobs, result, progress, most_trainings(run, len(trials), seeds)
    )

    def measure(cells: Sequence[tuple[int, int]]) -> list[float]:
        comparing = any(arm == BASELINE for arm, _ in cells)
        scores = trainings.train(
            [(arms[arm], _seed(run, index)) for arm, index in cells], keep=comparing
        )
        sign = 1 if result.mode == "max" else -1
        return [sign * score for score in scores]

    raced = race(measure, len(trials), seeds, result.looks, trainings.stacks)
    if not raced.comparison.pairs:
        reasons = "; ".join(dict.fromkeys(result.failures.values()))
        raise StudyError(
            f"no pair of trainings of the confirmation ended well: {reasons}. "
            f"Their output is in {run.folder / 'confirmed'}."
        )
    result.selection = [_seed(run, index) for index in range(raced.selection)]
    result.seeds = [_seed(run, raced.selection + index) for index in range(raced.pairs)]
    result.given = raced.given
    selected = arms[raced.selected]
    compared = compare(
        result.differences(selected.name), raced.level, trainings.rows(selected.name, str(BASELINE))
    )
    result.comparisons = [compared if arm is selected else compare([]) for arm in arms[1:]]
    _compare_with_untouched(trainings, result, arms[BASELINE], selected, raced.level)
    result.write(run)
    trainings.end()
    _write(run, result, selected)
    return result


def _compare_with_untouched(
    trainings: Trainings, result: Confirmation, baseline: Arm, selected: Arm, level: float
) -> None:
    """Train the model as it is on the seeds of the comparison.

    A winner is trained at the model's own rate on some of them.
    """
    result.over_untouched = result.at_own_rate = result.rate = None
    untouched = baseline.name
    if baseline.factor != 1.0:
        untouched = UNTOUCHED
        trainings.train([(Arm(UNTOUCHED, None, 1.0), seed) for seed in result.seeds])
        rows = trainings.rows(selected.name, untouched)
        result.over_untouched = compare(result.differences(selected.name, untouched), level, rows)
        result.rate = compare(result.differences(baseline.name, untouched))
    if result.outcome == "better" and selected.factor != 1.0:
        own = Arm(f"{selected.name}@own", selected.placement, 1.0)
        trainings.train([(own, seed) for seed in result.seeds[:DESCRIBED]])
        result.at_own_rate = compare(result.differences(own.name, untouched))


def _begin(
    run: StudyRun, candidates: list[int], seeds: int, factors: dict[str, float]
) -> Confirmation:
    metric = run.config.test_metric if run.tested else run.config.goals[0].metric
    result = Confirmation(
        metric,
        run.config.goals[0].mode,
        "test" if run.tested else "validation",
        [],
        candidates,
    )
    result.budget = (len(candidates) + 1) * seeds
    result.split_option, result.factors = run.config.split_option, factors
    earlier = Confirmation.read(run)
    if earlier is not None and (earlier.metric, earlier.split_option) == (
        metric,
        result.split_option,
    ):
        result.cpu = earlier.cpu
        # More trials may have found the baseline another rate: what it came to at the earlier one
        # is no score of it now.
        moved = {
            arm for arm, factor in factors.items() if earlier.factors.get(arm, factor) != factor
        }
        kept = {
            key: value
            for key, value in earlier.scores.items()
            if key.rpartition(":")[0] not in moved
        }
        # What a seed came to row by row is with the machine that trained it, and counts as well.
        elsewhere = run.store.is_shared and not (run.folder / "confirmed").exists()
        kept = {} if elsewhere else kept
        result.scores = {key: value for key, value in kept.items() if value is not None}
        same = (earlier.candidates, earlier.budget) == (result.candidates, result.budget)
        result.looks = earlier.looks + bool(earlier.comparisons and not same)
    return result


def _seed(run: StudyRun, index: int) -> int:
    return derive(run.config.seed, "confirm", index)


def _write(run: StudyRun, result: Confirmation, selected: Arm) -> None:
    number, c = result.winner
    assert selected.placement is not None
    found = {
        "trial": number,
        "metric": result.metric,
        "split": result.split,
        "verdict": result.outcome,
        **_gain(c),
        "comparison_seeds": result.seeds,
        "selection_seeds": result.selection,
        "splits": c.pairs if result.split_option else 1,
        "candidates": len(result.candidates),
        "significant": result.outcome == "better",
    }
    for key in ("over_untouched", "at_own_rate"):
        if (other := getattr(result, key)) is not None:
            found[key] = {"verdict": other.verdict, **_gain(other), "pairs": other.pairs}
    write_best(run, selected.placement, found, selected.factor)


def _gain(c: Comparison) -> dict[str, Any]:
    ends = [c.low, c.high]
    return {
        "gain": significant_digits(c.gain),
        "interval": [significant_digits(end) for end in ends] if math.isfinite(c.low) else None,
        "p": significant_digits(c.p),
    }
