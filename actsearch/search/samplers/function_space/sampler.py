"""An Optuna sampler that sees every activation as a function, not as a name."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from typing_extensions import override

from actsearch.search.samplers.function_space.candidates import propose, random_untried
from actsearch.search.samplers.function_space.encoding import Encoding, shared
from actsearch.search.samplers.function_space.gaussian_process import GaussianProcess
from actsearch.search.samplers.function_space.in_flight import announce, in_flight, is_running
from actsearch.search.samplers.function_space.initial_design import initial
from actsearch.search.samplers.function_space.observations import (
    best_and_random,
    normal_scores,
    observe,
)
from actsearch.search.samplers.function_space.one_thread import ONE_THREAD
from actsearch.search.samplers.function_space.posterior import Posterior
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings
from actsearch.search.samplers.function_space.transfer import SourceTasks

Array = NDArray[np.float64]

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class FunctionSpaceSampler(BaseSampler):
    r"""Sample activations by a Gaussian process over what they are as functions.

    A categorical parameter whose choices are all activations (names of the catalogue, or
    expressions) is a point in function space. A Gaussian process with Matérn kernels on the outputs
    of :math:`\varphi` at the quantiles of N(0, 1), on its derivative there and on descriptors
    (moments, gain, dead share, Hermite coefficients, growth) predicts the score of choices never
    tried. It begins with what 800 functions came to on 28 small problems: any of these source
    tasks, all or none may tell of this one. After ReLU (six common activations without them), the
    choice of the largest expected improvement is next. Several sites: the largest upper confidence
    bound, after a few random placements.

    Several such parameters (sites) are modelled together, and with the other parameters that every
    trial has; conditional ones are left to an independent sampler. Several objectives have a model
    each, and become one with weights drawn anew for every trial. Pruned trials count as at most
    average, failed ones as worst; trials in flight as having given what is expected of them
    (kriging believer). No configuration is proposed twice while there are others.

    Numerics: the ranks of the scores are modelled, so that a few disasters do not drown the rest. A
    proposal is a function of the seed, the trial's number and the trials that ended or run. Threads
    that share a sampler propose in turn.

    An unbounded space of expressions is approached by a long list of choices (20,000, say, from
    :func:`actsearch.activations.expression.generate.pool`; Optuna's choices cannot grow): random
    ones and the neighbours of the best in function space are scored.

    Args:
        seed: any whole number; a random one unless given.
        independent_sampler: for parameters that not every trial has; Optuna's TPE unless given.
        earlier: studies that this one learns from: each may tell of this problem, as those that
            come along.
        experience: whether it begins with what the package's 800 functions came to.
        settings: the constants that were chosen.

    References:
        Efficient Global Optimization of Expensive Black-Box Functions, D. R. Jones, M. Schonlau and
        W. J. Welch, 1998, https://doi.org/10.1023/A:1008306431147

    >>> import optuna
    >>> study = optuna.create_study(sampler=FunctionSpaceSampler(seed=0))
    >>> study.ask().suggest_categorical("activation", ["sin(x)", "relu", "mul(x,sigmoid(x))"])
    'relu'

    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        independent_sampler: BaseSampler | None = None,
        earlier: Sequence[Study] = (),
        experience: bool = True,
        settings: Settings = DEFAULTS,
    ) -> None:
        self._seed = (
            int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else int(seed)
        )
        self._independent_sampler = independent_sampler
        self._earlier = tuple(earlier)
        self._experience = experience
        self._settings = settings
        self._turn = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._turn = threading.Lock()

    def reseed_rng(self) -> None:
        """Do nothing for the proposals, which depend on the trial's number.

        Tell the independent sampler.
        """
        if self._independent_sampler is not None:
            self._independent_sampler.reseed_rng()

    @override
    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return shared(study, _others(study, trial))

    @override
    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        with self._turn, ONE_THREAD:  # each thread sees what the one before has taken
            return self._propose(study, trial, search_space)

    def _propose(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Choose a configuration, and let the trials in flight know of it.

        Another process may take the same one meanwhile, having seen the same trials. Then this one
        chooses again, knowing that. A configuration that was known to be taken when it was chosen
        is the only one left, or fixed by the caller.
        """
        encoding = Encoding.of(search_space, self._settings)
        while True:
            ended, pending = self._trials(study, trial, encoding)
            row = self._next(study, encoding, ended, pending, trial)
            now, _ = in_flight(_others(study, trial), encoding)
            if _contains(pending, row) or not _contains(now, row):
                break
        chosen = encoding.decode(row)
        announce(study, trial, chosen)
        return chosen

    def _trials(
        self, study: Study, trial: FrozenTrial, encoding: Encoding
    ) -> tuple[list[FrozenTrial], Array]:
        """Return the trials that ended, and the configurations in flight."""
        others = _others(study, trial)
        ended = [t for t in others if t.state in FINISHED and encoding.holds(t.params)]
        pending, unknown = in_flight(others, encoding)
        # What a trial asked for just before this one is about to propose: what this one would in
        # its place.
        for other in [t for t in unknown if t.number < trial.number][-self._settings.pending :]:
            row = self._next(study, encoding, ended, pending, other)
            pending = np.concatenate([pending, row[None]])
        return ended, pending

    def _next(
        self,
        study: Study,
        encoding: Encoding,
        ended: Sequence[FrozenTrial],
        pending: Array,
        trial: FrozenTrial,
    ) -> Array:
        """Return the next configuration, a function of what is given and the seed."""
        settings = self._settings
        rng = np.random.default_rng([abs(self._seed), trial.number])
        fixed = _fixed(trial, encoding)
        seen = observe(ended, study.directions, settings)
        rows = np.array([encoding.encode(t.params) for t in seen.trials])
        rows = rows.reshape(-1, len(encoding.dimensions))
        tried = np.concatenate([rows, pending])
        source_tasks = self._source_tasks(encoding)
        transfer = _transfers(source_tasks, study)
        first = initial(encoding, tried, fixed, rng, transfer, settings)
        if first is not None:
            return first
        if len(np.unique(seen.scores, axis=0)) < (1 if transfer else 2):
            return random_untried(encoding, tried, fixed, rng, settings)
        process = GaussianProcess.of(encoding, settings)
        scores = [normal_scores(column, settings.failed_score) for column in seen.scores.T]
        kept = best_and_random(np.mean(scores, 0), settings.conditioned_trials, rng)
        posteriors = [
            Posterior.fitted(
                process,
                source_tasks,
                rows[kept],
                column[kept],
                seen.observation_noise[kept],
                rng,
                settings,
            ).kriging_believer(pending)
            for column in scores
        ]
        return propose(encoding, posteriors, tried, fixed, rng, settings)

    def _source_tasks(self, encoding: Encoding) -> SourceTasks:
        return SourceTasks(encoding, self._earlier, self._experience, self._settings)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a value of a parameter that is not modelled with the others.

        One that a search begins with, where it is an activation.
        """
        rng = np.random.default_rng([abs(self._seed), trial.number, _stable_number(param_name)])
        encoding = Encoding.of({param_name: param_distribution}, self._settings)
        row = self._initial(study, trial, encoding, rng) if encoding.activations else None
        if row is not None:
            return encoding.decode(row)[param_name]
        sampler = self._independent_sampler
        if sampler is None:
            sampler = TPESampler(seed=int(rng.integers(2**31)), multivariate=False)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _initial(
        self, study: Study, trial: FrozenTrial, encoding: Encoding, rng: np.random.Generator
    ) -> Array | None:
        """Return what a search of one parameter begins with, ``None`` where that is over."""
        others = _others(study, trial)
        taken = [encoding.encode(t.params) for t in others if encoding.holds(t.params)]
        transfer = _transfers(self._source_tasks(encoding), study)
        # Trials asked for just before this one, which have no value yet, begin in the same way.
        before = [t for t in others if is_running(t) and t.number < trial.number and not t.params]
        row: Array | None = None
        for _ in range(len(before) + 1):
            row = initial(
                encoding, np.array(taken).reshape(-1, 1), {}, rng, transfer, self._settings
            )
            if row is not None:
                taken.append(row)
        return row

    @override
    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        if self._independent_sampler is not None:
            self._independent_sampler.before_trial(study, trial)

    @override
    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        if self._independent_sampler is not None:
            self._independent_sampler.after_trial(study, trial, state, values)


def _others(study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
    return [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]


def _contains(rows: Array, row: Array) -> bool:
    return bool((rows == row).all(1).any())


def _transfers(source_tasks: SourceTasks, study: Study) -> bool:
    """Whether a search begins with what source tasks tell: measured for one objective alone."""
    return len(source_tasks.prior_odds) > 0 and len(study.directions) == 1


def _stable_number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _fixed(trial: FrozenTrial, encoding: Encoding) -> dict[int, float]:
    """Return the numbers that an enqueued trial has already, by place."""
    given = trial.system_attrs.get("fixed_params", {}) | trial.params
    return {
        place: dimension.encode(given[dimension.name])
        for place, dimension in enumerate(encoding.dimensions)
        if dimension.name in given and Encoding((), (dimension,)).holds(given)
    }
