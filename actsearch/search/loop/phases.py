"""What each trial is for: the phases of a search.

The baseline's learning rate, ten famous activations, an earlier study's best, then the search.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from actsearch.activations import Parameter, catalogue
from actsearch.search.samplers.partial_fixed import belongs
from actsearch.search.space.choices import SiteChoice
from actsearch.search.space.settings import Choices, Learn, Range
from actsearch.search.study.config import LEARNING_RATE, Objective
from actsearch.search.study.record import StudyRun, counts, is_spared, phase_of

PhaseName = Literal[
    "baseline", "famous", "warm_start", "search", "model", "block", "layer", "finalist"
]

LADDER = 10
"""A search of fewer trials neither tunes the baseline's learning rate nor tries the famous."""

REPEATS = 3
"""Seeds that each learning rate of the baseline is tried with."""

STEP = 3.0
"""The factor between the learning rates that are tried."""

LOWEST, HIGHEST = 0.01, 100.0

SPENT = 10
"""Proposals of a phase in a row that need no training, after which the next phase begins."""

FAMOUS = (
    "relu",
    "gelu",
    "silu",
    "tanh",
    "leaky_relu",
    "elu",
    "selu",
    "mish",
    "softplus",
    "sigmoid",
)
"""The activations that people try by hand.

Each is tried once for the whole model, where the space has it.
"""


@dataclass(frozen=True)
class Phase:
    """What one trial is for, and what is decided before it.

    Args:
        name: ``baseline`` for the model's own activations, ``famous`` for one of those that people
            try by hand, ``warm_start`` for what was best in an earlier study, ``search``; of a
            staged search ``model``, ``block`` or ``layer``; or ``finalist`` for another learning
            rate of one of the best.
        learning_rate_factor: factor on the learning rate, where the trial does not choose it.
        fixed: values of parameters that are not searched now.
        tied: by parameter, the one whose value it takes.
    """

    name: PhaseName
    learning_rate_factor: float | None = 1.0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_given(self) -> bool:
        """Whether nothing is left to the sampler."""
        rate = self.learning_rate_factor is not None or LEARNING_RATE in self.fixed
        return rate and self.name in ("baseline", "famous", "finalist")

    def is_beside(self, other: Phase | None) -> bool:
        """Whether a trial of another phase may train as one network with one of this."""
        if other is None or other.name != self.name:
            return False
        same = self.name == "finalist" and self.fixed == other.fixed
        return same or self.name in ("baseline", "famous")


def is_decided(run: StudyRun, number: int, total: int, at_once: int = 1) -> bool:
    """Whether the trials that run do not bear on what a trial is for.

    The baseline comes first; its grid of learning rates may run at once.

    Args:
        run: the study.
        number: the trial's number.
        total: trials that are wanted, the baseline included.
        at_once: how many trials may train as one network; the grid needs three.
    """
    running = [
        t for t in run.trials[:number] if phase_of(t) == "baseline" and not t.state.is_finished()
    ]
    begun = at_once >= 3 or (bool(running) and run.trials[0].state.is_finished())
    return not running or (_is_tuned(run, total) and begun and number < 3)


def next_phase(run: StudyRun, number: int, total: int) -> Phase:
    """Return what a trial is for, from the trials before it.

    Args:
        run: the study.
        number: the trial's number.
        total: trials that are wanted, the baseline included; the phases share them.
    """
    before = run.trials[:number]
    begun = [trial for trial in before if phase_of(trial) == "baseline"]
    tuned, searched = _is_tuned(run, total), run.config.learning_rate == "searched"
    rate = next_factor(_losses(begun, run.config.goals[0])) if tuned or not begun else None
    if rate is not None:
        chosen = searched and run.own is not None  # else the trial has no parameters at all
        return Phase("baseline", None if chosen else rate, run.own or {})
    factor = run.factor(run.baseline)
    famous = _famous(run)[: (total - len(begun)) // 2] if total >= LADDER else []
    if (done := _count(before, "famous")) < len(famous):
        fixed = {LEARNING_RATE: factor} if searched else {}
        return Phase("famous", None if searched else factor, famous[done] | fixed)
    own = None if searched else factor
    if (done := _count(before, "warm_start")) < len(run.warm_start):
        return Phase("warm_start", own, run.warm_start[done])
    if run.config.search_space.granularity != "staged":
        return Phase("search", own)
    return _staged(run, before, total, own)


def _is_tuned(run: StudyRun, total: int) -> bool:
    return run.config.learning_rate == "tuned" and total >= LADDER


def _count(trials: Sequence[FrozenTrial], phase: PhaseName) -> int:
    return sum(phase_of(trial) == phase for trial in trials)


def _staged(
    run: StudyRun, before: Sequence[FrozenTrial], total: int, factor: float | None
) -> Phase:
    """Return a phase of the staged search: half of the trials for the whole model.

    The other half is for its parts in turn.
    """
    phases = list(run.groups)
    first = [t for t in before if phase_of(t) in ("baseline", "famous", "warm_start")]
    ladder = sum(map(counts, first))
    done = (sum(map(counts, before)) - ladder) / max(1, total - ladder)
    widths = [1.0] if len(phases) == 1 else [0.5] + [0.5 / (len(phases) - 1)] * (len(phases) - 1)
    ends = [sum(widths[: i + 1]) for i in range(len(widths))]
    left = [name for name, end in zip(phases, ends, strict=True) if done < end - 1e-9]
    phase = next((name for name in left if not _is_spent(before, name)), phases[-1])
    groups = run.groups[phase]
    if phase == "model":
        return Phase(phase, factor, {}, _tied(groups))
    best = next((trial for trial in run.ranked() if trial.params), None)
    free = groups[_count(before, phase) % len(groups)]
    open_now = [*free, LEARNING_RATE]
    fixed = {
        name: value
        for name, value in (best.params if best else {}).items()
        if not any(belongs(name, site) for site in open_now)
    }
    return Phase(phase, factor, fixed, _tied([free]))


def _is_spent(trials: Sequence[FrozenTrial], phase: PhaseName) -> bool:
    """Whether a phase has nothing new: its last proposals needed no training."""
    last = [trial for trial in trials if phase_of(trial) == phase][-SPENT:]
    return len(last) == SPENT and all(map(is_spared, last))


def _tied(groups: list[list[str]]) -> dict[str, str]:
    return {follower: leader for leader, *followers in groups for follower in followers}


def finalists(run: StudyRun, top: int) -> Iterator[Phase]:
    """Yield what would find the learning rates of the best few.

    Those beside the one they were trained at are tried, until a best is inside.
    """
    base = run.factor(run.baseline)
    for trial in run.candidates(top):
        same = [t for t in run.trials if run.choices(t) == run.choices(trial)]
        losses = {base: math.inf} | _losses(same, run.config.goals[0])
        if (rate := next_factor(losses)) is not None:
            yield Phase("finalist", rate, run.choices(trial))


def _famous(run: StudyRun) -> list[dict[str, Any]]:
    """Return the parameters that put each famous activation at every site.

    Those that the space does not have are left out, and the model's own.
    """
    found = []
    for name in FAMOUS:
        parts = [_chosen(choice, name) for choice in run.space.choices]
        given = {key: value for part in parts for key, value in part.items()}
        if all(parts) and given != run.own:
            found.append(given)
    return found


def _chosen(choice: SiteChoice, name: str) -> dict[str, Any]:
    """Return the parameters that choose an activation as it is by default.

    None where the choice does not have it.
    """
    candidate = next((c for c in choice.candidates if c.name == name), None)
    if candidate is None:
        return {}
    given: dict[str, Any] = {choice.name: name}
    for key, setting in candidate.settings.items():
        argument = catalogue()[name].arguments.get(key)
        if isinstance(setting, (Range, Choices, Learn)) and isinstance(argument, Parameter):
            given[f"{choice.name}.{name}.{key}"] = argument.default
    return given


def _losses(trials: Sequence[FrozenTrial], objective: Objective) -> dict[float, float]:
    """Return the loss, smaller is better, by factor; infinite where there is none (yet)."""
    sign = 1 if objective.mode == "min" else -1
    return {
        trial.user_attrs[LEARNING_RATE]: (
            sign * trial.values[0] if trial.state == TrialState.COMPLETE else math.inf
        )
        for trial in trials
        if LEARNING_RATE in trial.user_attrs
    }


def next_factor(tried: Mapping[float, float]) -> float | None:
    """Return the factor on the learning rate to try next.

    It is a step to either side of the first, then beyond a best at an end.

    Args:
        tried: losses by factor, in the order of the trials.

    Returns:
        the factor, or ``None`` where the best lies inside.

    >>> next_factor({}), next_factor({1.0: 0.5}), next_factor({1.0: 0.5, 3.0: 0.4, 1 / 3: 0.6})
    (1.0, 3.0, 9.0)
    >>> next_factor({1.0: 0.4, 3.0: 0.5, 1 / 3: 0.6}) is None
    True

    """
    if not tried:
        return 1.0
    first = next(iter(tried))
    best = min(tried, key=lambda factor: tried[factor])
    for factor in (first * STEP, first / STEP, best * STEP, best / STEP):
        known = any(math.isclose(factor, other, rel_tol=1e-6) for other in tried)
        if not known and LOWEST <= factor <= HIGHEST:
            return factor
    return None
