"""Several objectives, measures as objectives, and what must hold."""

from __future__ import annotations

import pytest

from actsearch.errors import InvalidValueError, SearchSpaceError
from actsearch.run import run_search
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.constraints import Bound, split
from actsearch.search.study.pareto import front, knee
from actsearch.search.study.record import StudyRun, result_of
from actsearch.search.study.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:the search stops:actsearch.errors.ActsearchWarning")

SPACE = SearchSpace(
    activations={"relu": None, "tanh": None, "prelu": None, "square": None}, granularity="model"
)


def search(own, **options):
    given = {
        "store": own / "store",
        "config": {"trainer.max_epochs": 1},
        "executor": "inline",
        "sampler": "random",
        "seed": 1,
        "confirm": 0,
    }
    result = run_search("own.Own", SPACE, study="s", trials=14, **{**given, **options})
    return StudyRun.load(Store(own / "store"), result.study)


@pytest.mark.long
def test_error_and_parameters_as_two_objectives(own):
    run = search(own, objectives=["val_loss:min", "parameters:min", "latency:min"])
    complete = [t for t in run.trials if t.values]
    by_name = {t.params["model"]: t.values[1] for t in complete}
    assert by_name["prelu"] == by_name["relu"] + 2
    assert all(t.values[2] > 0 for t in complete)
    assert (run.folder / "report" / "pareto.png").exists()
    points = [t.values for t in sorted(complete, key=lambda t: (t.values[0], t.number))]
    assert run.ranked()[0].values == points[knee(points, [1, 1, 1])]


def test_facts_bound_what_may_stand_anywhere(own):
    run = search(own, require=["derivative_bound <= 1 and not bounded"])
    assert {t.params["model"] for t in run.trials} == {"relu"}
    with pytest.raises(SearchSpaceError, match="requires"):
        search(own, require=["bijective and convex"], store=own / "other")


def test_bounds_on_the_trained_model(own):
    free = search(own)
    limit = min(t.values[0] for t in free.trials if t.params["model"] == "relu") + 1e-9
    run = search(
        own, require=["parameters <= 105", f"val_loss >= {limit / 1e3}"], store=own / "bounded"
    )
    run = StudyRun.load(Store(own / "bounded"), "s")
    broken = [t for t in run.trials if result_of(t).violated]
    assert broken
    assert all(t.params["model"] == "prelu" for t in broken)
    assert all(t.params["model"] != "prelu" for t in run.ranked())


def test_texts():
    assert split(["latency <= 0.5", "bounded"]) == ("(bounded)", [Bound("latency", 1, 0.5)])
    assert Bound.parse("val_accuracy >= 0.9").violation(0.8) == pytest.approx(0.1)
    for wrong in ("latency < 1", "bounded and latency <= 1", "latency <= much", ""):
        with pytest.raises(InvalidValueError, match="a constraint must be"):
            split([wrong])


def test_front_and_knee():
    points = [[0.0, 3.0], [1.0, 1.0], [3.0, 0.0], [2.0, 2.0], [1.0, 1.0]]
    assert front(points, [1, 1]) == [0, 1, 2]
    assert knee(points, [1, 1]) == 1
    assert front([[0.9, 5.0], [0.8, 5.0]], [-1, 1]) == [0]
