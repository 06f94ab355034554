"""A sampler that decides a part of the parameters: Optuna's contract, and what is fixed or tied."""

from functools import partial

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase

from actsearch import FunctionSpaceSampler
from actsearch.search.samplers.partial_fixed import PartialFixedSampler, allows, belongs

LAYERS = ["relu", "tanh", "gelu", "sigmoid"]


class TestOptunaContract(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: PartialFixedSampler(RandomSampler(seed=0), {}, {})


def layered(trial):
    return sum(LAYERS.index(trial.suggest_categorical(f"layer{i}", LAYERS)) for i in range(3))


@pytest.fixture(params=[RandomSampler, TPESampler, FunctionSpaceSampler])
def study(request):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(sampler=request.param(seed=0), direction="maximize")
    made.optimize(layered, n_trials=10)
    return made


def go_on(study, objective, fixed, tied, trials=6):
    study.sampler = PartialFixedSampler(study.sampler, fixed, tied)
    study.optimize(objective, n_trials=trials)
    return [t.params for t in study.trials[-trials:]]


def test_what_is_fixed_stays_and_the_rest_is_searched(study):
    params = go_on(study, layered, {"layer0": "gelu"}, {})
    assert {p["layer0"] for p in params} == {"gelu"}
    assert len({tuple(p.values()) for p in params}) > 1


def test_what_is_tied_follows(study):
    params = go_on(study, layered, {}, {"layer1": "layer0", "layer2": "layer0"})
    assert all(len(set(p.values())) == 1 for p in params)


def test_what_is_fixed_is_not_tied(study):
    params = go_on(study, layered, {"layer2": "relu"}, {"layer1": "layer0", "layer2": "layer0"})
    assert all(p["layer0"] == p["layer1"] and p["layer2"] == "relu" for p in params)


def test_a_value_out_of_range_is_left_to_the_sampler(study):
    params = go_on(study, layered, {"layer0": "no activation"}, {})
    assert all(p["layer0"] in LAYERS for p in params)


def test_parameters_under_a_tied_site_follow_those_under_the_other():
    def objective(trial):
        for site in ("first", "second"):
            name = trial.suggest_categorical(site, ["prelu", "relu"])
            if name == "prelu":
                trial.suggest_float(f"{site}.prelu.slope", 0, 1)
        return 0.0

    study = optuna.create_study(sampler=RandomSampler(seed=0))
    params = go_on(study, objective, {"first": "prelu"}, {"second": "first"})
    assert all(p["second"] == "prelu" for p in params)
    assert all(p["second.prelu.slope"] == p["first.prelu.slope"] for p in params)


def test_the_sampler_inside_is_told_what_is_fixed():
    class Told(RandomSampler):
        def infer_relative_search_space(self, study, trial):
            return {f"layer{i}": CategoricalDistribution(LAYERS) for i in range(3)}

        def sample_relative(self, study, trial, search_space):
            seen.append(trial.system_attrs["fixed_params"])
            return dict.fromkeys(search_space, "relu")

    seen = []
    params = go_on(optuna.create_study(sampler=Told(seed=0)), layered, {"layer1": "tanh"}, {}, 1)
    assert params == [{"layer0": "relu", "layer1": "tanh", "layer2": "relu"}]
    assert seen == [{"layer1": "tanh"}]


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (CategoricalDistribution(["a", 3]), ["a", 3], ["b", None]),
        (FloatDistribution(0, 1), [0, 0.3, 1], [-0.1, 1.1, "x", None, float("nan"), float("inf")]),
        (FloatDistribution(0, 1, step=0.25), [0, 0.25, 1], [0.3]),
        (FloatDistribution(0.1, 1, log=True), [0.1, 1.0], [0.0, -1.0]),
        (IntDistribution(2, 10, step=4), [2, 6, 10], [3, 14, 2.5]),
    ],
)
def test_values_that_a_distribution_allows(distribution, inside, outside):
    allowed = partial(allows, distribution)
    assert all(map(allowed, inside))
    assert not any(map(allowed, outside))


def test_a_parameter_belongs_to_its_site_and_not_to_another_of_a_longer_name():
    assert belongs("net.1", "net.1")
    assert belongs("net.1.prelu.slope", "net.1")
    assert not belongs("net.10", "net.1")
