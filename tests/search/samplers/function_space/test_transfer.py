"""What source tasks tell: what agrees with the trainings counts, what contradicts them not."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from samplers import TABLES, Table
from scipy.stats import spearmanr

from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.run import run_search
from actsearch.search.samplers.function_space.encoding import Encoding
from actsearch.search.samplers.function_space.gaussian_process import GaussianProcess
from actsearch.search.samplers.function_space.observations import normal_scores
from actsearch.search.samplers.function_space.posterior import Posterior
from actsearch.search.samplers.function_space.transfer import (
    SourceTask,
    SourceTasks,
    shipped_scores,
)
from actsearch.search.space.search_space import SearchSpace

NAMES = [
    "sin(x)",
    "cos(x)",
    "abs(x)",
    "erf(x)",
    "gaussian(x)",
    "cube(x)",
    "log1pabs(x)",
    "arctan(x)",
    "mul(x,erf(x))",
]


def study_of(scores, parameter="model", direction="maximize"):
    study = optuna.create_study(direction=direction)
    distribution = {parameter: CategoricalDistribution(list(scores))}
    for name, score in scores.items():
        study.add_trial(
            optuna.trial.create_trial(
                params={parameter: name}, distributions=distribution, value=score
            )
        )
    return study


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.csv")), ids=lambda path: path.stem)
def test_the_data_tell_which_study_is_of_a_like_problem(path):
    table = Table.read(path)
    own, others = (
        np.arange(40, len(table.activations), 20),
        np.arange(41, len(table.activations), 20),
    )
    elsewhere = {table.activations[i]: float(table.scores[i]) for i in others}
    studies = [
        study_of(elsewhere),
        study_of(
            {name: -score for name, score in elsewhere.items()}, direction="minimize"
        ),  # a loss
        study_of(
            {name: -score for name, score in elsewhere.items()}
        ),  # what is good here was bad there
    ]
    encoding = Encoding.of(
        {"activation": CategoricalDistribution([table.activations[i] for i in own])}
    )
    rows, seen = np.arange(len(own), dtype=float)[:, None], 8
    scores = normal_scores(table.scores[own])

    def posterior(source_tasks):
        return Posterior.fitted(
            GaussianProcess.of(encoding),
            source_tasks,
            rows[:seen],
            scores[:seen],
            np.zeros(seen),
            np.random.default_rng(0),
        )

    informed = posterior(SourceTasks(encoding, studies))
    like, loss, contrary = np.exp(informed.average.log_probability[1:4])
    assert like == pytest.approx(loss)
    assert like > 10 * contrary
    expected = informed.predict(rows[seen:])[0]
    alone = posterior(SourceTasks(encoding, [], shipped=False)).predict(rows[seen:])[0]
    assert spearmanr(expected, scores[seen:]).statistic > spearmanr(alone, scores[seen:]).statistic


def test_a_function_that_is_no_choice_speaks_for_its_like():
    others = {name: 0.1 * i for i, name in enumerate(n for n in NAMES if n != "abs(x)")}
    encoding = Encoding.of({"activation": CategoricalDistribution(NAMES)})
    earlier = SourceTasks(encoding, [study_of({**others, "mul(0.9,abs(x))": 5.0})])
    column = earlier(np.arange(len(NAMES), dtype=float)[:, None])[:, 0]
    assert NAMES[int(np.argmax(column))] == "abs(x)"


def test_rows_of_other_parameters_and_of_several_sites():
    sites = {name: CategoricalDistribution(["relu", "tanh"]) for name in ("a", "b")}
    encoding = Encoding.of({**sites, "width": FloatDistribution(0, 1)})
    earlier = study_of({"gelu": 1.0, "tanh": 2.0})
    known = SourceTask.of(earlier, encoding)
    assert known.encoding.activations[0].distribution.choices == ("relu", "tanh", "gelu")
    assert known.rows.tolist() == [[1, 1, 0.5], [2, 2, 0.5]]
    assert known.scores[0] > known.scores[1]
    expected = SourceTasks(encoding, [earlier])(np.array([[1, 1, 0.1], [1, 1, 0.9], [0, 0, 0.5]]))
    assert expected.shape == (3, 1)
    assert expected[0] == expected[1] > expected[2]
    assert SourceTask.of(study_of({3: 1.0, 4: 2.0}), encoding) is None


def test_the_experience_that_comes_along_expects_what_was_measured():
    activations, problems, scores = shipped_scores()
    assert scores.shape == (len(activations), len(problems))
    assert np.isfinite(scores).all()
    chosen = activations[::40]
    encoding = Encoding.of({"activation": CategoricalDistribution(chosen)})
    expected = SourceTasks(encoding, [])(np.arange(len(chosen), dtype=float)[:, None])
    for column, measured in zip(expected.T, scores[::40].T, strict=True):
        assert spearmanr(column, measured).statistic > 0.8


@pytest.mark.long
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
    with pytest.raises(
        InvalidValueError,
        match="must be function_space to learn from earlier studies, but got 'tpe'",
    ):
        run_search(
            "own.Own", space, trials=3, study="other", learn_from=["first"], sampler="tpe", **given
        )
