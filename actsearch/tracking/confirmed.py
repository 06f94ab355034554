"""The trainings of a confirmation as runs of MLflow: which arm, which seed, which score."""

from __future__ import annotations

from collections.abc import Iterator

from actsearch.search.confirm.confirmation import UNTOUCHED, Confirmation
from actsearch.search.confirm.racing import BASELINE
from actsearch.search.study.config import LEARNING_RATE
from actsearch.search.study.record import StudyRun
from actsearch.tracking.runs import TrainingRun, at_rate, milliseconds, training_parameters
from actsearch.tracking.words import short


def confirmation_runs(run: StudyRun, result: Confirmation) -> Iterator[TrainingRun]:
    """Yield every training of a confirmation that has ended."""
    trials, baseline = run.trials, run.baseline
    # Nobody has noted when each was trained; the same at every call, nothing is logged twice.
    searched = max(milliseconds(t.datetime_complete) for t in trials if t.datetime_complete)
    for cell, score in result.scores.items():
        arm, _, seed = cell.rpartition(":")
        number = arm.partition("@")[0]
        placed = None if number in (UNTOUCHED, str(BASELINE)) else trials[int(number)]
        factor = result.factors.get(arm, run.factor(placed or baseline))
        if arm == UNTOUCHED or arm != number:
            factor = 1.0
        tags = {"actsearch.split": result.split}
        if placed is not None and arm == number:
            tags["actsearch.placement"] = short(run, placed)[:5000]
        if score is None:
            tags["actsearch.reason"] = result.failures.get(cell, "")[:5000]
        label = "baseline" if placed is None else f"trial {number}"
        yield TrainingRun(
            name=f"confirm {label}{at_rate(factor)}, seed {seed}",
            kind="confirm",
            identity={
                "actsearch.arm": arm,
                "actsearch.seed": seed,
                f"actsearch.{LEARNING_RATE}": f"{factor:.6g}",
            },
            state="failed" if score is None else "complete",
            status="FAILED" if score is None else "FINISHED",
            began=searched,
            ended=searched,
            metrics=[] if score is None else [(result.metric, score, 0)],
            parameters=({} if placed is None else run.choices(placed))
            | training_parameters(run.config, factor)
            | {"arm": arm, "seed": seed},
            tags=tags,
        )
