"""What is written into the record while a search runs: trials that begin, report, wait and end."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import TrialState

from actsearch.placement import Placement
from actsearch.search.loop.phases import HIGHEST, LOWEST, Phase
from actsearch.search.samplers.by_name import make_pruner, make_sampler
from actsearch.search.samplers.partial_fixed import PartialFixedSampler
from actsearch.search.study.config import LEARNING_RATE
from actsearch.search.study.record import PHASE, RESULT, StudyRun
from actsearch.search.training.job import Result
from actsearch.search.training.seeds import derive

ATTEMPTS = 3
"""Times that a trial is begun, where its training may be what the search died of."""

REPORTS = 10
"""Values of a training, evenly over its epochs, that the record keeps and the pruner judges."""

STACK = "stack"
"""The attribute of a trial that trains as one network with others: the number of their first."""

TO_THE_END = ("baseline", "famous")
"""What others are judged by is trained to the end."""


class Ledger:
    """Writes a study's trials.

    Args:
        run: the open study.

    Attributes:
        running: by number, the trials that have begun and not ended.
    """

    def __init__(self, run: StudyRun) -> None:
        self.run = run
        self.running: dict[int, optuna.Trial] = {}
        self._reported: dict[int, Collection[int]] = {}
        self._earlier = [run.store.load(name) for name in run.config.learn_from]

    def next_number(self) -> int:
        """Return the number that the next trial will have."""
        trials = self.run.trials
        return min((t.number for t in trials if t.state == TrialState.WAITING), default=len(trials))

    def take_up(self, in_this_process: bool) -> None:
        """Queue again what a dead process left running, under the same number and parameters.

        Args:
            in_this_process: whether a training that dies takes the search with it; then some
                attempts are enough. The baseline is never given up.
        """
        for trial in self.run.trials:
            if trial.state == TrialState.RUNNING:
                attempts = trial.user_attrs.get("attempts", 1)
                if attempts >= ATTEMPTS and in_this_process and trial.number:
                    reason = f"lost: the search died {attempts} times in this trial"
                    self._set(trial.number, RESULT, Result("failed", reason).record())
                    self.run.study.tell(trial.number, state=TrialState.FAIL)
                else:
                    self._set(trial.number, "attempts", attempts + 1)
                    self._set_waiting(trial.number)

    def ask(self, phase: Phase) -> tuple[int, Placement | None]:
        """Begin a trial: let it choose, note that, and return its number and its placement.

        No placement means the model as it is.
        """
        number, before = self.next_number(), self.run.trials
        config, study = self.run.config, self.run.study
        # A sampler of its own: what it asks depends on the number alone.
        seed, several = derive(config.seed, number), len(config.goals)
        name = "random" if phase.is_given else config.sampler
        sampler = make_sampler(name, seed, several, self._earlier, config.experience)
        study.sampler = PartialFixedSampler(sampler, phase.fixed, phase.tied)
        epochs = self.run.model_info.max_epochs or 1
        study.pruner = make_pruner(config.pruner, epochs, config.first_full_step)
        trial = study.ask()
        placement = self._propose(trial, phase)
        self.running[number] = trial
        # A trial taken up again repeats its first epochs.
        self._reported[number] = before[number].intermediate_values if number < len(before) else ()
        return number, placement

    def _propose(self, trial: optuna.Trial, phase: Phase) -> Placement | None:
        """Let a trial choose, note it, and return its placement: none is the model as it is."""
        placement = None
        if phase.name != "baseline" or self.run.own is not None:
            placement = self.run.space.suggest(trial)
        if phase.name == "baseline":
            placement = None  # its parameters were suggested for the record alone
        # A trial taken up again keeps its factor.
        factor = trial.user_attrs.get(LEARNING_RATE, phase.learning_rate_factor)
        if factor is None:
            factor = trial.suggest_float(LEARNING_RATE, LOWEST, HIGHEST, log=True)
        data = None if placement is None else json.loads(placement.dumps())
        trial.set_user_attr("placement", data)
        trial.set_user_attr(PHASE, trial.user_attrs.get(PHASE, phase.name))
        trial.set_user_attr(LEARNING_RATE, factor)
        return placement

    def stack(self, numbers: Sequence[int]) -> None:
        """Note which trials train as one network."""
        for number in numbers:
            self.running[number].set_user_attr(STACK, numbers[0])

    def stacked_with(self, number: int) -> list[int]:
        """Return the trials that have trained as one network with a trial, as far as they ended."""
        first = self.running[number].user_attrs.get(STACK)
        trials = self.run.trials if first is not None else []
        mates = [t for t in trials if t.user_attrs.get(STACK) == first]
        return [t.number for t in mates if t.state.is_finished()]

    def report(self, number: int, step: int, metrics: dict[str, float]) -> bool:
        """Note what an epoch of a trial came to, and return whether the pruner ends it."""
        if not self._is_kept(step, metrics):
            return False
        trial = self.running[number]
        if step not in self._reported[number]:
            trial.report(metrics[self.run.config.goals[0].metric], step)
        stop = trial.should_prune()  # asked of all: a pruner may keep its own books
        return stop and trial.user_attrs[PHASE] not in TO_THE_END

    def _is_kept(self, step: int, metrics: dict[str, float]) -> bool:
        """Whether the pruner judges by what a step came to."""
        config = self.run.config
        every = 1 if config.data_fractions else (self.run.model_info.max_epochs or 1) // REPORTS
        judged_by_data = config.fidelity == "data" and step >= config.first_full_step
        one = len(config.goals) == 1 and config.goals[0].metric in metrics
        return one and not judged_by_data and (every < 2 or not (step + 1) % every)

    def repeat(self, number: int, known: Result) -> None:
        """Give a trial the intermediate values of a training that is over.

        By these a sampler judges what was cut short.
        """
        for step, metrics in known.history:
            if self._is_kept(step, metrics) and step not in self._reported[number]:
                self.running[number].report(metrics[self.run.config.goals[0].metric], step)

    def judge(self, number: int, result: Result) -> Result:
        """Return how a trial ended: a value that is not finite is a failure."""
        goals = self.run.config.goals
        values = [result.metrics.get(goal.metric, math.nan) for goal in goals]
        if result.state == "complete" and not all(map(math.isfinite, values)):
            told = {goal.metric: value for goal, value in zip(goals, values, strict=True)}
            return Result("failed", f"diverged: {told}", history=result.history)
        if result.state == "complete":
            return replace(result, violated=self._violated(self.running[number], result))
        return result

    def end(self, number: int, result: Result) -> None:
        """Note how a trial ended."""
        trial = self.running[number]
        self._set(number, RESULT, result.record())
        if result.state == "complete":
            values = [result.metrics[goal.metric] for goal in self.run.config.goals]
            self.run.study.tell(trial, values, skip_if_finished=True)
        else:
            state = TrialState.PRUNED if result.state == "pruned" else TrialState.FAIL
            self.run.study.tell(trial, state=state, skip_if_finished=True)
        del self.running[number]

    def _violated(self, trial: optuna.Trial, result: Result) -> list[str]:
        """Tell the trial how far each bound is broken, and return those that are."""
        violated = []
        for bound in self.run.config.bounds:
            by = bound.violation(result.metrics.get(bound.metric, math.nan))
            trial.set_constraint(bound.metric, by)
            if by > 0:
                violated.append(f"{bound.metric} by {by:.4g}")
        return violated

    def close(self) -> None:
        """Let what still runs wait for another process."""
        for number in self.running:
            self._set_waiting(number)

    def _identity(self, number: int) -> int:
        storage = self.run.store.storage()
        return storage.get_trial_id_from_study_id_trial_number(
            storage.get_study_id_from_name(self.run.name), number
        )

    def _set_waiting(self, number: int) -> None:
        self.run.store.storage().set_trial_state_values(self._identity(number), TrialState.WAITING)

    def _set(self, number: int, key: str, value: Any) -> None:
        self.run.store.storage().set_trial_user_attr(self._identity(number), key, value)
