"""Samplers and pruners by name: ours and Optuna's own.

A search makes them anew for each trial, from its seed and the trial's number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.search.training.job import REDUCTION


def _function_space(
    seed: int, earlier: Sequence[optuna.Study] = (), experience: bool = True
) -> BaseSampler:
    from actsearch.search.samplers.function_space import FunctionSpaceSampler

    return FunctionSpaceSampler(seed=seed, earlier=earlier, experience=experience)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "function_space": _function_space,
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "gp": lambda seed: optuna.samplers.GPSampler(
        seed=seed, independent_sampler=optuna.samplers.TPESampler(seed=seed)
    ),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "qmc": lambda seed: optuna.samplers.QMCSampler(seed=seed, warn_independent_sampling=False),
}
SINGLE_OBJECTIVE = {"cmaes"}
PRUNERS: dict[str, Callable[[int, int], BasePruner]] = {
    "median": lambda epochs, whole: optuna.pruners.MedianPruner(
        5, n_warmup_steps=0 if whole else max(1, epochs // 4)
    ),
    "asha": lambda *_: optuna.pruners.SuccessiveHalvingPruner(
        min_resource=1, reduction_factor=REDUCTION
    ),
    "hyperband": lambda epochs, whole: optuna.pruners.HyperbandPruner(
        1, max(1, whole + epochs), REDUCTION
    ),
    "none": lambda *_: optuna.pruners.NopPruner(),
}


def make_sampler(
    name: str,
    seed: int,
    objectives: int = 1,
    earlier: Sequence[optuna.Study] = (),
    experience: bool = True,
) -> BaseSampler:
    """Return a sampler by name.

    function_space learns from earlier studies, and from the package's own unless told not to.

    Raises:
        UnknownNameError: no such sampler.
        InvalidValueError: the sampler cannot take that many objectives.
    """
    if name not in SAMPLERS:
        raise UnknownNameError.among("sampler", name, SAMPLERS)
    if objectives > 1 and name in SINGLE_OBJECTIVE:
        raise InvalidValueError(
            f"sampler must take {objectives} objectives, but got {name!r}. Try tpe or nsga2."
        )
    if name == "function_space":
        return _function_space(seed, earlier, experience)
    return SAMPLERS[name](seed)


def make_pruner(name: str, epochs: int, whole: int = 0) -> BasePruner:
    """Return a pruner by name, for fits of that many epochs, from step ``whole`` on.

    Raises:
        UnknownNameError: no such pruner.
    """
    if name not in PRUNERS:
        raise UnknownNameError.among("pruner", name, PRUNERS)
    return PRUNERS[name](epochs, whole)
