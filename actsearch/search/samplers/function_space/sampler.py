"""An Optuna sampler that sees every activation as a function, not as a name."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from actsearch.search.samplers.function_space import candidates
from actsearch.search.samplers.function_space.encoding import Space, shared
from actsearch.search.samplers.function_space.gaussian_process import Surrogate
from actsearch.search.samplers.function_space.observations import normal_scores, observe
from actsearch.search.samplers.function_space.transfer import Experience

Array = NDArray[np.float64]

IN_FLIGHT = "function_space:in_flight"
ATTRIBUTE_LENGTH = 2000
"""Longest text that every storage keeps in one attribute."""

AT_ONCE = 8
"""Trials that were asked for and have no values yet, of which the proposal is worked out."""

_TURN = threading.Lock()
"""Threads propose in turn: each sees what the one before has taken."""

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class FunctionSpaceSampler(BaseSampler):
    r"""Sample activations by a Gaussian process over what they are as functions.

    A categorical parameter whose choices are all activations (names of the catalogue, or
    expressions) is a point in function space. A Gaussian process with Matérn kernels on the outputs
    of :math:`\varphi` at the quantiles of N(0, 1), on its derivative there and on descriptors
    (moments, gain, dead share, Hermite coefficients, growth) predicts the score of choices never
    tried. It begins with what 800 functions came to on 28 small problems: any of these problems,
    all or none may tell of this one. After ReLU (six common activations without experience), the
    choice of the largest expected improvement is next.
    Several sites: the largest mean plus standard deviation, after a few random placements.

    Several such parameters (sites) are modelled together, and with the other parameters that every
    trial has; conditional ones are left to an independent sampler. Several objectives have a model
    each, and become one with weights drawn anew for every trial. Pruned trials count as at most
    average, failed ones as worst; trials in flight as having given what is expected of them. No
    configuration is proposed twice while there are others.

    Numerics: the ranks of the scores are modelled, so that a few disasters do not drown the rest. A
    proposal is a function of the seed, the trial's number and the trials that ended or run.

    An unbounded space of expressions is approached by a long list of choices (20,000, say, from
    :func:`actsearch.activations.expression.generate.pool`; Optuna's choices cannot grow): random ones and the
    neighbours of the best in function space are scored.

    Args:
        seed: any whole number; a random one unless given.
        independent_sampler: for parameters that not every trial has; Optuna's TPE unless given.
        earlier: studies that this one learns from: each may tell of this problem, as those that
            come along.
        experience: whether it begins with what the package's 800 functions came to.

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
    ) -> None:
        self._seed = (
            int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else int(seed)
        )
        self._independent_sampler = independent_sampler
        self._earlier = tuple(earlier)
        self._experience = experience

    def reseed_rng(self) -> None:
        """Do nothing for the proposals, which depend on the trial's number.

        Tell the independent sampler.
        """
        if self._independent_sampler is not None:
            self._independent_sampler.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that all trials share."""
        return shared([t for t in study.get_trials(deepcopy=False) if t.number != trial.number])

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the next configuration of the shared parameters."""
        if not search_space:
            return {}
        with _TURN:
            return self._propose(study, trial, search_space)

    def _propose(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        space = Space.of(search_space)
        row: Array | None = None
        for _ in range(AT_ONCE):
            trials = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
            flying, unknown = _in_flight(
                [t for t in trials if t.state == TrialState.RUNNING], space
            )
            if row is not None and not (flying == row).all(1).any():
                break  # no other trial took it meanwhile
            ended = [
                t for t in trials if t.state in FINISHED and space.holds(t.params, t.distributions)
            ]
            # What a trial asked for just before this one is about to propose: what this one would
            # in its place.
            for other in [t for t in unknown if t.number < trial.number][-AT_ONCE:]:
                flying = np.concatenate(
                    [flying, self._next(study, space, ended, flying, other)[None]]
                )
            row = self._next(study, space, ended, flying, trial)
        assert row is not None, "the loop runs at least once"
        chosen = space.decode(row)
        _announce(study, trial, chosen)
        return chosen

    def _next(
        self,
        study: Study,
        space: Space,
        ended: Sequence[FrozenTrial],
        flying: Array,
        trial: FrozenTrial,
    ) -> Array:
        rng = np.random.default_rng([abs(self._seed), trial.number])
        fixed = _fixed(trial, space)
        width = len(space.dimensions)
        seen = observe(ended, study.directions)
        rows = np.array([space.encode(t.params) for t in seen.trials]).reshape(-1, width)
        tried = np.concatenate([rows, flying])
        earlier = self._earlier_problems(space)
        informed = (
            bool(len(earlier.odds)) and len(study.directions) == 1
        )  # measured for one objective
        common = candidates.first(space, tried, fixed, rng, informed)
        if common is not None:
            return common
        if len(np.unique(seen.scores, axis=0)) < (1 if informed else 2):
            return candidates.unguided(space, tried, fixed, rng)
        surrogate = Surrogate.of(space)
        models = [
            surrogate.fitted(rows, normal_scores(column), seen.doubt, rng, earlier).believing(
                flying
            )
            for column in seen.scores.T
        ]
        return candidates.propose(space, models, tried, fixed, rng)

    def _earlier_problems(self, space: Space) -> Experience:
        return Experience(space, self._earlier, self._experience)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a value of a parameter that is not modelled with the others.

        A common activation where it is one.
        """
        rng = np.random.default_rng([abs(self._seed), trial.number, _number(param_name)])
        space = Space.of({param_name: param_distribution})
        if space.activations:
            others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
            taken = [
                space.encode(t.params) for t in others if space.holds(t.params, t.distributions)
            ]
            before = [
                t
                for t in others
                if t.state == TrialState.RUNNING and t.number < trial.number and not t.params
            ]
            for _ in range(
                len(before) + 1
            ):  # trials asked for just before this one begin in the same way
                informed = (
                    bool(len(self._earlier_problems(space).odds)) and len(study.directions) == 1
                )
                row = candidates.first(space, np.array(taken).reshape(-1, 1), {}, rng, informed)
                if row is not None:
                    taken.append(row)
            if row is not None:
                return space.decode(row)[param_name]
        sampler = self._independent_sampler
        if sampler is None:
            sampler = TPESampler(seed=int(rng.integers(2**31)), multivariate=False)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tell the independent sampler."""
        if self._independent_sampler is not None:
            self._independent_sampler.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the independent sampler."""
        if self._independent_sampler is not None:
            self._independent_sampler.after_trial(study, trial, state, values)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _fixed(trial: FrozenTrial, space: Space) -> dict[int, float]:
    """Return the numbers that an enqueued trial has already, by place."""
    given = trial.system_attrs.get("fixed_params", {}) | trial.params
    return {
        place: dimension.encode(given[dimension.name])
        for place, dimension in enumerate(space.dimensions)
        if dimension.name in given and Space((), (dimension,)).holds(given)
    }


def _announce(study: Study, trial: FrozenTrial, chosen: dict[str, Any]) -> None:
    """Let trials that are asked for before this one suggests its values know of them, as Optuna's own samplers do."""
    text = json.dumps(chosen)
    for part, start in enumerate(range(0, len(text), ATTRIBUTE_LENGTH)):
        study._storage.set_trial_system_attr(
            trial._trial_id, f"{IN_FLIGHT}:{part}", text[start : start + ATTRIBUTE_LENGTH]
        )


def _in_flight(running: Sequence[FrozenTrial], space: Space) -> tuple[Array, list[FrozenTrial]]:
    """Return the configurations of trials that run, and the trials of which none is known yet."""
    rows: list[Array] = []
    unknown: list[FrozenTrial] = []
    for trial in running:
        parts: list[str] = []
        while (text := trial.system_attrs.get(f"{IN_FLIGHT}:{len(parts)}")) is not None:
            parts.append(text)
        parameters = (json.loads("".join(parts)) if parts else {}) | trial.params
        if space.holds(parameters):
            rows.append(space.encode(parameters))
        elif not parameters:
            unknown.append(trial)
    return np.array(rows).reshape(-1, len(space.dimensions)), unknown
