"""FunctionSpaceSampler as an Optuna sampler: Optuna's contract, and what it promises beyond."""

import math
import pickle
import resource
import subprocess
import sys
import warnings

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import TrialState, create_trial
from samplers import TABLES, Table

from actsearch import FunctionSpaceSampler
from actsearch.activations.expression.generate import pool
from actsearch.errors import ActsearchWarning
from actsearch.search.samplers.function_space import sampler
from actsearch.search.samplers.function_space.candidates import propose
from actsearch.search.samplers.function_space.features import compute
from actsearch.search.samplers.function_space.settings import Settings

TABLE = Table.read(TABLES / "digits_autoencoder.csv")
"""Functions, and what trainings with them came to."""

POOL = ["relu", "tanh", "silu", "elu", *TABLE.activations[30::10]]
LAYERS = ["relu", "tanh", "gelu", "sigmoid", "sine", "square", "abs", "identity"]
SCORE = {
    name: score
    for name, score in zip(TABLE.activations, TABLE.scores.tolist(), strict=True)
    if name in POOL
}


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


class TestOptunaContract(
    BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase
):
    @pytest.fixture
    def sampler(self):
        return FunctionSpaceSampler


def study(seed=0, **options):
    return optuna.create_study(
        sampler=FunctionSpaceSampler(seed=seed), **({"direction": "maximize"} | options)
    )


def single(trial):
    return SCORE[trial.suggest_categorical("activation", POOL)]


def layered(trial):
    names = [trial.suggest_categorical(f"layer{i}", LAYERS) for i in range(3)]
    return sum(LAYERS.index(name) * (i + 1) for i, name in enumerate(names))


@pytest.mark.parametrize("experience", [True, False])
def test_it_begins_with_relu_or_without_experience_with_common_ones_then_the_model_beats_random(
    experience,
):
    places = {name: i for i, name in enumerate(TABLE.activations)}
    mine = optuna.create_study(
        sampler=FunctionSpaceSampler(seed=0, experience=experience), direction="maximize"
    )
    mine.optimize(
        lambda t: TABLE.scores[places[t.suggest_categorical("activation", TABLE.activations)]],
        n_trials=24,
    )
    first = [t.params["activation"] for t in mine.trials[:6]]
    assert first[0] == "relu"
    assert (first == ["relu", "elu", "gelu", "tanh", "sigmoid", "square"]) is not experience
    draws = np.random.default_rng(0)
    random_best = [draws.permutation(TABLE.scores)[:24].max() for _ in range(200)]
    assert mine.best_value > np.mean(random_best) + np.std(random_best)


def test_names_as_torch_users_type_them_are_functions_and_what_is_none_is_told():
    names = ["nn.ReLU", "nn.SiLU", "hard_swish", "Tanh", "sin(x)"]
    mine = study()
    mine.optimize(lambda t: names.index(t.suggest_categorical("activation", names)), n_trials=5)
    assert mine.trials[0].params["activation"] == "nn.ReLU"
    assert {t.params["activation"] for t in mine.trials} == set(names), "none twice"
    wrong = ["relu", "elu", "tanh", "gelu", "exp", "rleu", "foo_bar"]
    told = r"but 'exp' \(perhaps 'exp\(x\)'\), 'rleu' \(perhaps 'relu'\), 'foo_bar' are none"
    with pytest.warns(ActsearchWarning, match=told):
        study().optimize(
            lambda t: wrong.index(t.suggest_categorical("activation", wrong)), n_trials=2
        )


def test_nothing_is_proposed_twice_while_there_is_something_new():
    mine = study()
    mine.optimize(single, n_trials=len(POOL))
    assert len({t.params["activation"] for t in mine.trials}) == len(POOL)
    best = mine.best_params["activation"]
    mine.optimize(single, n_trials=1)  # all were tried: the best is trained again
    assert mine.trials[-1].params["activation"] in sorted(POOL, key=SCORE.__getitem__)[-3:]
    assert SCORE[best] == max(SCORE.values())


def test_a_proposal_depends_on_seed_number_and_history_alone():
    def objective(trial):
        return layered(trial) + trial.suggest_float("rate", 0, 1)

    first, second, other = study(1), study(1), study(2)
    for s in (first, second, other):
        s.optimize(objective, n_trials=15)
    assert [t.params for t in first.trials] == [t.params for t in second.trials]
    assert [t.params for t in first.trials] != [t.params for t in other.trials]
    renewed = study(1)
    for _ in range(15):  # a new instance for every trial
        renewed.sampler = FunctionSpaceSampler(seed=1)
        renewed.optimize(objective, n_trials=1)
    assert [t.params for t in renewed.trials] == [t.params for t in first.trials]


def test_the_same_in_another_process():
    code = (
        "import optuna; from actsearch.search import FunctionSpaceSampler;"
        f" optuna.logging.set_verbosity(40)\nL = {LAYERS!r}\ns ="
        " optuna.create_study(direction='maximize', sampler=FunctionSpaceSampler(seed=1))\nf ="
        " lambda t: sum(L.index(t.suggest_categorical(f'layer{i}', L)) * (i + 1) for i in"
        " range(3))\ns.optimize(f, n_trials=10); print([t.params for t in s.trials])"
    )
    mine = study(1)
    mine.optimize(layered, n_trials=10)
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == str([t.params for t in mine.trials])


def test_trials_in_flight_are_all_different():
    mine = study()
    mine.optimize(single, n_trials=6)
    trials = [mine.ask() for _ in range(12)]
    names = [t.suggest_categorical("activation", POOL) for t in trials]
    for t, name in zip(trials, names, strict=True):
        mine.tell(t, SCORE[name])
    assert len(set(names)) == 12
    assert not set(names) & {t.params["activation"] for t in mine.trials[:6]}


def test_asked_before_any_value_is_suggested_they_differ_too():
    mine = study()
    mine.optimize(layered, n_trials=10)
    trials = [
        mine.ask({f"layer{i}": CategoricalDistribution(LAYERS) for i in range(3)}) for _ in range(8)
    ]
    assert len({tuple(t.params.values()) for t in trials}) == 8


def test_threads():
    mine = study()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine.optimize(single, n_trials=24, n_jobs=2)
    names = [t.params["activation"] for t in mine.trials]
    assert (
        len(names) - len(set(names)) <= 1
    )  # two threads may read the history before either has a number


def test_it_can_be_pickled_and_goes_on_in_the_same_way():
    mine = study()
    mine.optimize(layered, n_trials=9)
    again = optuna.create_study(
        sampler=pickle.loads(pickle.dumps(mine.sampler)), direction="maximize"
    )
    again.optimize(layered, n_trials=9)
    assert [t.params for t in again.trials] == [t.params for t in mine.trials]


def test_what_another_process_takes_meanwhile_is_not_proposed_as_well(monkeypatch):
    names = {f"layer{i}": CategoricalDistribution(LAYERS) for i in range(3)}
    storage = InMemoryStorage()
    undisturbed, mine = study(), study(storage=storage)
    for s in (undisturbed, mine):
        s.optimize(layered, n_trials=10)
    wanted = undisturbed.ask(names).params
    racer = optuna.load_study(
        study_name=mine.study_name, storage=storage, sampler=FunctionSpaceSampler(seed=5)
    )
    raced = []

    def propose_and_be_raced(*arguments):
        row = propose(*arguments)
        if not raced:
            raced.append(None)
            racer.enqueue_trial(wanted)
            raced[0] = racer.ask(names).params
        return row

    monkeypatch.setattr(sampler, "propose", propose_and_be_raced)
    chosen = mine.ask(names).params
    assert raced == [wanted]
    assert chosen != wanted


def test_a_fixed_configuration_that_is_in_flight_is_run_again():
    mine = study()
    mine.optimize(layered, n_trials=10)
    everywhere = {f"layer{i}": "sine" for i in range(3)}
    for _ in range(2):
        mine.enqueue_trial(everywhere)
    choices = {name: CategoricalDistribution(LAYERS) for name in everywhere}
    trials = [mine.ask(choices) for _ in range(2)]
    assert [t.params for t in trials] == [everywhere] * 2


def test_settings_decide_how_it_begins():
    mine = optuna.create_study(
        sampler=FunctionSpaceSampler(seed=0, settings=Settings(initial_with_transfer=3)),
        direction="maximize",
    )
    mine.optimize(single, n_trials=3)
    begun = [t.params["activation"] for t in mine.trials]
    wanted = [name for name in Settings().initial_activations[:3] if name in POOL]
    assert begun[: len(wanted)] == wanted


def test_of_many_trials_some_condition_and_still_nothing_is_proposed_twice():
    few, every = (
        optuna.create_study(
            sampler=FunctionSpaceSampler(seed=0, settings=Settings(conditioned_trials=20)),
            direction="maximize",
        )
        for _ in range(2)
    )
    every.sampler = FunctionSpaceSampler(seed=0)
    for mine in (few, every):
        mine.optimize(layered, n_trials=40)
    names = [[tuple(t.params.values()) for t in mine.trials] for mine in (few, every)]
    assert names[0][:20] == names[1][:20]
    assert names[0] != names[1]
    assert len(set(names[0])) == 40
    assert few.best_value >= 0.9 * sum(7 * (i + 1) for i in range(3))


def test_an_enqueued_trial_is_run_and_what_it_leaves_open_fits_it():
    mine = study()
    mine.optimize(layered, n_trials=8)
    mine.enqueue_trial({"layer1": "abs"})
    mine.enqueue_trial({"layer0": "sine", "layer1": "sine", "layer2": "sine"})
    mine.optimize(layered, n_trials=2)
    assert mine.trials[8].params["layer1"] == "abs"
    assert set(mine.trials[9].params.values()) == {"sine"}


def test_several_sites_find_the_best_mix():
    mine = study()
    mine.optimize(layered, n_trials=45)
    assert mine.best_value >= 0.93 * sum(7 * (i + 1) for i in range(3))
    assert len({tuple(t.params.values()) for t in mine.trials}) == 45


def test_activations_beside_numbers_and_other_choices():
    def objective(trial):
        name = trial.suggest_categorical("activation", POOL)
        rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
        width = trial.suggest_int("width", 8, 64, step=8)
        optimiser = trial.suggest_categorical("optimiser", ["adam", "sgd"])
        return (
            SCORE[name]
            - (math.log10(rate) + 3) ** 2
            - (width - 40) ** 2 / 400
            + (optimiser == "adam")
        )

    mine = study()
    mine.optimize(objective, n_trials=40)
    best = mine.best_params
    assert best["optimiser"] == "adam"
    assert abs(math.log10(best["rate"]) + 3) < 0.7
    assert abs(best["width"] - 40) <= 8


def test_a_conditional_space():
    def objective(trial):
        name = trial.suggest_categorical("model", ["relu", "leaky_relu", "elu", "tanh"])
        if name == "leaky_relu":
            return trial.suggest_float("model.leaky_relu.negative_slope", 0.001, 0.3, log=True)
        return 0.0

    mine = study()
    mine.optimize(objective, n_trials=20)
    assert {t.params["model"] for t in mine.trials} == {"relu", "leaky_relu", "elu", "tanh"}
    assert mine.best_params["model"] == "leaky_relu"
    slopes = [
        t.params["model.leaky_relu.negative_slope"]
        for t in mine.trials
        if t.params["model"] == "leaky_relu"
    ]
    assert all(0.001 <= slope <= 0.3 for slope in slopes)


def test_two_objectives_spread_over_the_front():
    tail = dict(zip(POOL, np.abs(compute(POOL).values[:, -1]), strict=True))

    def objective(trial):
        name = trial.suggest_categorical("activation", POOL)
        return SCORE[name], -tail[name]

    mine = optuna.create_study(
        directions=["maximize", "minimize"], sampler=FunctionSpaceSampler(seed=0)
    )
    mine.optimize(objective, n_trials=24)
    points = np.array([[SCORE[n], tail[n]] for n in POOL])
    front = [
        n
        for n, p in zip(POOL, points, strict=True)
        if not ((points >= p).all(1) & (points > p).any(1)).any()
    ]
    found = {t.params["activation"] for t in mine.trials} & set(front)
    assert len(found) >= len(front) / 2  # chance would find less than two fifths


def test_the_neighbours_of_failed_trials_are_left_alone():
    wave = [f"cos(add(x,{i / 50}))" for i in range(1, 20)]
    tame = [f"softplus(mul({i / 10},x))" for i in range(1, 20)]
    choices = [*wave, *tame, "relu", "tanh"]

    def objective(trial):
        name = trial.suggest_categorical("activation", choices)
        if name in wave:
            raise RuntimeError
        return tame.index(name) if name in tame else 0.0

    mine = study()
    mine.optimize(objective, n_trials=18, catch=RuntimeError)
    failed = [t.state == TrialState.FAIL for t in mine.trials]
    assert sum(failed) <= 4  # of 18, where half of the choices fail
    assert mine.best_value == 18


def test_infinite_values_and_ties_do_not_break_it():
    mine = study()
    mine.optimize(lambda t: single(t) if t.number % 3 else -math.inf, n_trials=14)
    mine = study()
    mine.optimize(lambda t: 1.0 + 0 * single(t), n_trials=14)
    assert len({t.params["activation"] for t in mine.trials}) == 14


def test_infeasible_trials_are_avoided():
    gain = dict(zip(POOL, compute(POOL).slopes.max(1), strict=True))
    most = float(np.median(list(gain.values())))

    def objective(trial):
        name = trial.suggest_categorical("activation", POOL)
        trial.set_constraint("too steep", gain[name] - most)
        return SCORE[name]

    mine = study()
    mine.optimize(objective, n_trials=30)
    feasible = [t.constraints["too steep"] <= 0 for t in mine.trials]
    assert np.mean(feasible[10:]) >= 0.7  # half of the choices are


def test_storage_round_trip(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    whole = study(storage=url, study_name="whole")
    whole.optimize(layered, n_trials=12)
    parts = study(storage=url, study_name="parts")
    parts.optimize(layered, n_trials=6)
    again = optuna.load_study(study_name="parts", storage=url, sampler=FunctionSpaceSampler(seed=0))
    again.optimize(layered, n_trials=6)
    assert [t.params for t in again.trials] == [t.params for t in whole.trials]


def test_changed_ranges_are_left_to_the_independent_sampler():
    mine = study()
    mine.optimize(
        lambda t: (
            t.suggest_float("x", 0, t.number + 1) + SCORE[t.suggest_categorical("activation", POOL)]
        ),
        n_trials=12,
    )
    assert all(0 <= t.params["x"] <= t.number + 1 for t in mine.trials)


def test_choices_that_are_not_all_activations_are_ordinary_ones():
    mine = study()
    mine.optimize(
        lambda t: t.suggest_categorical("kind", ["relu", "adam", None, 3]) == 3, n_trials=8
    )
    assert {t.params["kind"] for t in mine.trials} == {"relu", "adam", None, 3}


@pytest.mark.long
def test_after_the_first_proposal_none_needs_more_memory():
    choices = pool(1600, 3, 5)
    distribution = CategoricalDistribution(choices)
    mine = study()
    rng = np.random.default_rng(0)
    for name in rng.permutation(choices)[:300]:
        mine.add_trial(
            create_trial(
                params={"activation": str(name)},
                distributions={"activation": distribution},
                value=rng.random(),
            )
        )
    megabytes = []
    for _ in range(11):
        trial = mine.ask()
        trial.suggest_categorical("activation", choices)
        mine.tell(trial, rng.random())
        megabytes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    assert megabytes[-1] - megabytes[1] < 8  # the peak of the first ones is that of all


@pytest.mark.long
@pytest.mark.timeout(900)
def test_twenty_thousand_choices():
    choices = pool(20_000, 4, 5)
    mine = study()
    mine.optimize(
        lambda t: -abs(len(t.suggest_categorical("activation", choices)) - 20), n_trials=25
    )
    assert len({t.params["activation"] for t in mine.trials}) == 25


def test_relative_space_keeps_distributions():
    mine = study()
    mine.optimize(lambda t: single(t) + t.suggest_float("x", 0, 1), n_trials=2)
    space = mine.sampler.infer_relative_search_space(mine, mine.trials[-1])
    assert space == {"activation": CategoricalDistribution(POOL), "x": FloatDistribution(0, 1)}
