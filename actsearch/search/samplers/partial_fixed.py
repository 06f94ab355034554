"""A sampler that decides a part of the parameters: others are given, or follow one that was decided."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class PinnedSampler(BaseSampler):
    """Leave to a sampler what is neither given nor tied to another parameter.

    Like Optuna's ``PartialFixedSampler``, but the sampler inside is told of the given values, so
    that one that models parameters together sees the whole; and parameters may be tied.

    Args:
        sampler: decides the rest.
        given: values by parameter; one outside of the parameter's range is left to the sampler.
        leaders: by parameter, the one whose value it takes, if that was decided before; together
            with the parameters under it (``site.prelu.slope`` under ``site``).
    """

    def __init__(
        self, sampler: BaseSampler, given: Mapping[str, Any], leaders: Mapping[str, str]
    ) -> None:
        self.sampler = sampler
        self.given = given
        self.leaders = leaders

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the sampler's own, without what follows."""
        space = self.sampler.infer_relative_search_space(study, trial)
        return {
            name: d for name, d in space.items() if name in self.given or self._leader(name) is None
        }

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the sampler's choice, with the given values in place."""
        told = copy.copy(trial)
        told.system_attrs = {**trial.system_attrs, "fixed_params": dict(self.given)}
        chosen = self.sampler.sample_relative(study, told, search_space)
        given = {name: self.given[name] for name in chosen if name in self.given}
        return {
            **chosen,
            **{name: value for name, value in given.items() if _fits(value, search_space[name])},
        }

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the given value, the leader's, or the sampler's choice."""
        if param_name in self.given and _fits(self.given[param_name], param_distribution):
            return self.given[param_name]
        leader = self._leader(param_name)
        if leader in trial.params:
            return trial.params[leader]
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tell the sampler."""
        self.sampler.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the sampler."""
        self.sampler.after_trial(study, trial, state, values)

    def _leader(self, name: str) -> str | None:
        owners = [site for site in self.leaders if belongs(name, site)]
        site = max(owners, key=len, default=None)
        return None if site is None else self.leaders[site] + name.removeprefix(site)


def belongs(parameter: str, site: str) -> bool:
    """Whether a parameter is the choice of a site, or one of what was chosen there (``site.prelu.slope``)."""
    return parameter == site or parameter.startswith(f"{site}.")


def _fits(value: Any, distribution: BaseDistribution) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (TypeError, ValueError):  # not one of the choices, not a number
        return False
