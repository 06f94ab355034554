"""The options of a study: read, kept, compared."""

from __future__ import annotations

import json

import pytest

from actsearch.errors import InvalidValueError, StudyError
from actsearch.search.study.config import Objective, StudyConfig, flat
from actsearch.search.training.job import ModelInfo

OPTIONS = {
    "task": "own.Own",
    "config": {"task": {"width": 8}, "trainer": {"max_epochs": 2}},
    "objectives": ["val_loss:min", "latency:min"],
    "require": ["(bounded)", "latency <= 0.5"],
    "measures": {"latency": {}},
}


def test_options_come_back_as_they_were_stored():
    config = StudyConfig.of(OPTIONS)
    assert StudyConfig.loads(config.dumps()) == config


@pytest.mark.parametrize(("require", "kept"), [("", []), ("(bounded)", ["(bounded)"])])
def test_options_of_an_earlier_version_are_todays(require, kept):
    stored = {
        "task": "own.Own",
        "objectives": [{"metric": "val_accuracy", "mode": "max"}],
        "require": require,
        "bounds": [{"metric": "latency", "sign": 1, "limit": 0.5}],
        "options": {"force": True, "seed": 3},
    }
    assert StudyConfig.loads(json.dumps(stored)) == StudyConfig(
        "own.Own",
        objectives=["val_accuracy:max"],
        require=[*kept, "latency <= 0.5"],
        force=True,
        seed=3,
    )


@pytest.mark.parametrize(
    ("name", "value"), [("seed", "three"), ("fidelity", "half"), ("objectives", 5)]
)
def test_a_value_of_another_type_is_told_in_one_line(name, value):
    with pytest.raises(InvalidValueError) as raised:
        StudyConfig.of({**OPTIONS, name: value})
    assert str(raised.value).startswith(f"option {name}")
    assert str(raised.value).endswith(f"but got {value!r}.")
    assert "\n" not in str(raised.value)


def test_what_differs_from_the_stored_study_is_named():
    stored = StudyConfig.of(OPTIONS)
    stored.check_same(StudyConfig.of(OPTIONS), "s")
    config = {"task": {"width": 16}, "trainer": {"max_epochs": 2}}
    with pytest.raises(StudyError) as raised:
        StudyConfig.of({**OPTIONS, "config": config, "seed": 1}).check_same(stored, "s")
    text = "study 's' was made with other options (config.task.width: 8 then, 16 now;"
    assert str(raised.value).startswith(f"{text} seed: 0 then, 1 now).")
    assert "--warm-start s" in str(raised.value)


def test_of_many_differences_five_are_named():
    names = ["space", "monitor", "split_option", "data", "model", "test_metric"]
    changed = StudyConfig.of({**OPTIONS, **dict.fromkeys(names, "x")})
    with pytest.raises(StudyError, match=r"; \.\.\.\)") as raised:
        changed.check_same(StudyConfig.of(OPTIONS), "s")
    assert str(raised.value).count(" then, ") == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("val_loss:max", Objective("val_loss", "max")),
        ("val_accuracy", Objective("val_accuracy", "max")),
        ("loss/val:min", Objective("loss/val", "min")),
    ],
)
def test_an_objective_is_read(text, expected):
    assert Objective.parse(text) == expected


def test_an_objective_of_another_form_is_refused():
    with pytest.raises(InvalidValueError, match="METRIC:min or METRIC:max, but got 'loss:up'"):
        Objective.parse("loss:up")


@pytest.mark.parametrize(
    ("fidelity", "fractions", "first_full_step"), [("epochs", [], 0), ("data", [1 / 9, 1 / 3], 9)]
)
def test_fidelity_says_which_fractions_of_the_data(fidelity, fractions, first_full_step):
    config = StudyConfig("own.Own", fidelity=fidelity)
    assert config.data_fractions == pytest.approx(fractions)
    assert config.first_full_step == first_full_step


def test_a_job_is_judged_by_what_is_logged_and_measures_the_rest():
    info = ModelInfo([], "function mode", elements=8, restores_best=True, measured=["latency"])
    job = StudyConfig.of({**OPTIONS, "measures": {}}).job(None, info=info, repeats=3)
    assert (job.objectives, job.measures, job.mode) == (["val_loss"], {"latency": {}}, "min")
    assert (job.score, job.threads, job.example, job.repeats) == ("best", 1, False, 3)


def test_nested_options_have_dotted_names():
    assert flat({"task": {"width": 8, "own": {}}, "seed": 0}) == {
        "task.width": 8,
        "task.own": {},
        "seed": 0,
    }
