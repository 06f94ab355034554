"""Samplers and pruners by name."""

import optuna
import pytest

from actsearch import FunctionSpaceSampler
from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.search.samplers.by_name import (
    PRUNERS,
    SAMPLERS,
    SINGLE_OBJECTIVE,
    make_pruner,
    make_sampler,
)


def objective(trial):
    return trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_of_a_seed_proposes_the_same_again(name):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    studies = [optuna.create_study(sampler=make_sampler(name, 3)) for _ in range(2)]
    for study in studies:
        study.optimize(objective, n_trials=8)
    first, second = ([t.params for t in study.trials] for study in studies)
    assert first == second


@pytest.mark.parametrize("name", sorted(SAMPLERS.keys() - SINGLE_OBJECTIVE))
def test_several_objectives(name):
    study = optuna.create_study(
        directions=["minimize", "maximize"], sampler=make_sampler(name, 0, objectives=2)
    )
    study.optimize(lambda t: (objective(t), t.params["x"]), n_trials=4)
    assert len(study.best_trials) >= 1


def test_function_space_learns_from_the_package_unless_told_not_to():
    names = ["sin(x)", "cos(x)", "relu", "elu", "gelu"]
    begun = []
    for experience in (True, False):
        study = optuna.create_study(
            sampler=make_sampler("function_space", 0, experience=experience), direction="maximize"
        )
        study.optimize(
            lambda t: names.index(t.suggest_categorical("activation", names)), n_trials=3
        )
        begun.append([t.params["activation"] for t in study.trials])
    informed, plain = begun
    assert informed[0] == "relu"
    assert plain == ["relu", "elu", "gelu"]
    assert isinstance(make_sampler("function_space", 0), FunctionSpaceSampler)


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("whole", [0, 3])
def test_a_pruner_decides(name, whole):
    study = optuna.create_study(pruner=make_pruner(name, 4, whole))
    trial = study.ask()
    trial.report(1.0, 0)
    assert isinstance(trial.should_prune(), bool)


def test_errors_say_what_there_is():
    with pytest.raises(UnknownNameError, match="unknown sampler 'tep'; nearest: tpe"):
        make_sampler("tep", 0)
    with pytest.raises(UnknownNameError, match="unknown pruner 'mean'"):
        make_pruner("mean", 4)
    with pytest.raises(InvalidValueError, match="must take 2 objectives, but got 'cmaes'"):
        make_sampler("cmaes", 0, objectives=2)
