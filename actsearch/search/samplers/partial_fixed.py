"""A sampler that decides a part of the parameters: others are fixed, or tied to one of these."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from typing_extensions import override


class PartialFixedSampler(BaseSampler):
    """Leave to a sampler what is neither fixed nor tied to another parameter.

    Like Optuna's ``PartialFixedSampler``, but the sampler inside is told of the fixed values, so
    that one that models parameters together sees the whole; and parameters may be tied.

    Args:
        sampler: decides the rest.
        fixed: values by parameter; one outside of the parameter's range is left to the sampler.
        tied: by parameter, the one whose value it takes, if that was decided before; together with
            the parameters under it (``site.prelu.slope`` under ``site``).
    """

    def __init__(
        self, sampler: BaseSampler, fixed: Mapping[str, Any], tied: Mapping[str, str]
    ) -> None:
        self.sampler = sampler
        self.fixed = fixed
        self.tied = tied

    @override
    def reseed_rng(self) -> None:
        self.sampler.reseed_rng()

    @override
    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        space = self.sampler.infer_relative_search_space(study, trial)
        return {
            name: d
            for name, d in space.items()
            if name in self.fixed or self._tied_to(name) is None
        }

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the sampler's choice, with the fixed values in place."""
        told = copy.copy(trial)
        told.system_attrs = {**trial.system_attrs, "fixed_params": dict(self.fixed)}
        chosen = self.sampler.sample_relative(study, told, search_space)
        fixed = {
            name: self.fixed[name]
            for name in chosen
            if name in self.fixed and allows(search_space[name], self.fixed[name])
        }
        return {**chosen, **fixed}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the fixed value, that of the parameter it is tied to, or the sampler's choice."""
        if param_name in self.fixed and allows(param_distribution, self.fixed[param_name]):
            return self.fixed[param_name]
        other = self._tied_to(param_name)
        if other in trial.params:
            return trial.params[other]
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    @override
    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.sampler.before_trial(study, trial)

    @override
    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self.sampler.after_trial(study, trial, state, values)

    def _tied_to(self, name: str) -> str | None:
        owners = [site for site in self.tied if belongs(name, site)]
        site = max(owners, key=len, default=None)
        return None if site is None else self.tied[site] + name.removeprefix(site)


def belongs(parameter: str, site: str) -> bool:
    """Whether a parameter is the choice of a site, or one of what was chosen there.

    >>> belongs("site.prelu.slope", "site"), belongs("site2", "site")
    (True, False)
    """
    return parameter == site or parameter.startswith(f"{site}.")


def allows(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value is one of a distribution's: a choice, or in its range and on its grid.

    >>> allows(IntDistribution(2, 8, step=2), 5), allows(FloatDistribution(0, 1), 0.5)
    (False, True)
    """
    try:
        number = distribution.to_internal_repr(value)
    except (TypeError, ValueError):  # not one of the choices, not a number
        return False
    if not isinstance(distribution, (FloatDistribution, IntDistribution)):
        return True
    if not distribution.low <= number <= distribution.high:
        return False
    if distribution.step is None:
        return True
    steps = (number - distribution.low) / distribution.step
    return abs(steps - round(steps)) < 1e-8
