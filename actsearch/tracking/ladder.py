"""The ladder of a study: what each of its steps came to, and took.

The steps are the tuned learning rate, ten famous activations, and the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.record import StudyRun, phase_of, result_of
from actsearch.tracking.words import short


@dataclass(frozen=True)
class Rung:
    """One step of the ladder.

    Args:
        name: what was tried.
        value: the first objective of the best of it, in validation; ``None`` where nothing was
            completed.
        what: that best one, in words.
        trials: how many there were.
        cpu: processor time that they took, in seconds.
    """

    name: str
    value: float | None
    what: str
    trials: int
    cpu: float


def ladder(run: StudyRun) -> list[Rung]:
    """Return the rungs that a study has stepped on."""
    steps: dict[str, list[FrozenTrial]] = {
        "as it is": [],
        "rate tuned": [],
        "famous": [],
        "searched": [],
    }
    for trial in run.trials:
        name = {"baseline": "rate tuned", "famous": "famous"}.get(phase_of(trial), "searched")
        steps["as it is" if trial.number == 0 else name].append(trial)
    rungs = [_rung(run, name, trials) for name, trials in steps.items() if trials]
    confirmed = Confirmation.read(run)
    if confirmed is not None and confirmed.comparisons:
        trainings = sum(score is not None for score in confirmed.scores.values()) + len(
            confirmed.failures
        )
        rungs.append(Rung("confirmed", None, confirmed.outcome, trainings, confirmed.cpu))
    return rungs


def _rung(run: StudyRun, name: str, trials: Sequence[FrozenTrial]) -> Rung:
    ranked = [trial for trial in run.ranked() if trial in trials]
    cpu = sum(result_of(trial).cpu for trial in trials)
    if not ranked:
        return Rung(name, None, "", len(trials), cpu)
    return Rung(name, ranked[0].values[0], short(run, ranked[0]), len(trials), cpu)


def ladder_rows(run: StudyRun) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the ladder as a table."""
    lines = [
        [
            rung.name,
            "" if rung.value is None else f"{rung.value:.4f}",
            str(rung.trials),
            f"{rung.cpu:.0f}",
            rung.what,
        ]
        for rung in ladder(run)
    ]
    return ["step", run.config.goals[0].metric, "trials", "CPU s", "the best of it"], lines
