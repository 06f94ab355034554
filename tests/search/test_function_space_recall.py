"""What earlier studies tell: functions that did well elsewhere are tried first, and what does not fit is left aside."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.run import run_search
from actsearch.search import FunctionSpaceSampler
from actsearch.search.function_space.recall import recall
from actsearch.search.function_space.space import Space
from actsearch.search.space import SearchSpace

NAMES = ["sin(x)", "cos(x)", "abs(x)", "erf(x)", "gaussian(x)", "cube(x)", "log1pabs(x)", "arctan(x)", "mul(x,erf(x))"]


def study_of(scores, parameter="model", direction="maximize"):
    study = optuna.create_study(direction=direction)
    distribution = {parameter: CategoricalDistribution(list(scores))}
    for name, score in scores.items():
        study.add_trial(optuna.trial.create_trial(params={parameter: name}, distributions=distribution, value=score))
    return study


def third_proposal(earlier):
    study = optuna.create_study(direction="maximize", sampler=FunctionSpaceSampler(seed=0, earlier=earlier))
    for value, name in enumerate(NAMES[:2]):
        study.enqueue_trial({"activation": name})
        trial = study.ask()
        trial.suggest_categorical("activation", NAMES)
        study.tell(trial, value)
    return study.ask().suggest_categorical("activation", NAMES)


@pytest.mark.parametrize("best", ["abs(x)", "cube(x)"])
def test_what_was_best_elsewhere_is_tried_first(best):
    others = {name: 0.1 * i for i, name in enumerate(n for n in NAMES if n != best)}
    assert third_proposal([study_of({**others, best: 5.0})]) == best
    fallen = {name: -score for name, score in others.items()}
    assert third_proposal([study_of({**fallen, best: -5.0}, direction="minimize")]) == best


def test_a_function_that_is_no_choice_speaks_for_its_like():
    others = {name: 0.1 * i for i, name in enumerate(n for n in NAMES if n != "abs(x)")}
    assert third_proposal([study_of({**others, "mul(0.9,abs(x))": 5.0})]) == "abs(x)"


def test_rows_of_other_parameters_and_of_several_sites():
    sites = {name: CategoricalDistribution(["relu", "tanh"]) for name in ("a", "b")}
    space = Space.of({**sites, "width": FloatDistribution(0, 1)})
    known = recall(space, [study_of({"gelu": 1.0, "tanh": 2.0})], 0)
    assert known.space.activations[0].distribution.choices == ("relu", "tanh", "gelu")
    assert known.rows.tolist() == [[1, 1, 0.5], [2, 2, 0.5]]
    assert known.scores[0] > known.scores[1]
    assert len(recall(space, [study_of({3: 1.0, 4: 2.0})], 0).rows) == 0


def test_a_search_learns_from_a_study_of_its_store(own):
    space = SearchSpace(activations=dict.fromkeys(NAMES), granularity="model")
    given = {
        "store": own / "store",
        "executor": "inline",
        "config": {"trainer.max_epochs": 1},
        "learning_rate": "fixed",
    }
    first = run_search("own.Own", space, trials=6, study="first", **given)
    best = min((t for t in first.trials if t.params and t.values), key=lambda t: t.values[0])
    second = run_search("own.Own", space, trials=4, study="second", learn_from=["first"], **given)
    assert best.params["model"] in {t.params["model"] for t in second.trials if t.params}
    with pytest.raises(UnknownNameError, match="third"):
        run_search("own.Own", space, trials=3, study="other", learn_from=["third"], **given)
    with pytest.raises(InvalidValueError, match="must be function_space to learn from earlier studies, but got 'tpe'"):
        run_search("own.Own", space, trials=3, study="other", learn_from=["first"], sampler="tpe", **given)
