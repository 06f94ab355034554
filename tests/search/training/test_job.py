"""Jobs and results travel as JSON, and records of earlier versions are read."""

from __future__ import annotations

import json
import math

import pytest

from actsearch.placement import FoundSite, Placement
from actsearch.placement.placement import SiteEntry
from actsearch.search.training.job import Job, LossCurve, ModelInfo, Result


@pytest.fixture
def placement():
    entry = SiteEntry(activation="prelu", learn=["negative_slope"], share="channel", channels=4)
    return Placement(sites={"net.1": SiteEntry(activation="relu"), "net.3": entry})


def test_a_job_comes_back_as_it_was_sent(placement):
    job = Job(
        "own.Own",
        {"task": {"width": 8, "limit": math.inf}, "trainer": {"max_epochs": 1}},
        ["val_loss"],
        placement=placement,
        split=("task.split_seed", 7),
        baseline=LossCurve([2.0, 1.5], 0.25),
        data_fractions=[1 / 9, 1 / 3],
        measures={"certified_accuracy": {"radius": 0.1}},
    )
    assert Job.loads(job.dumps()) == job


def test_a_result_comes_back_as_it_was_sent():
    info = ModelInfo([FoundSite("net.1", "module", "relu")], "fx", ranges={"net.1": (-1, 2, True)})
    history = [(0, {"val_loss": 0.5}), (1, {"val_loss": 0.25})]
    result = Result("complete", metrics={"val_loss": 0.25}, history=history, model_info=info)
    assert Result.loads(result.dumps()) == result


def test_values_that_are_not_finite_survive():
    sent = Result("failed", "diverged", metrics={"a": math.nan, "b": math.inf, "c": -math.inf})
    got = Result.loads(sent.dumps()).metrics
    assert math.isnan(got["a"])
    assert (got["b"], got["c"]) == (math.inf, -math.inf)


def test_what_a_later_version_adds_is_left_out():
    text = json.dumps({"state": "pruned", "reason": "stopped", "colour": "blue"})
    assert Result.loads(text) == Result("pruned", "stopped")


def test_a_record_gives_the_result_without_rows_and_model():
    kept = Result(
        "complete",
        metrics={"val_loss": 0.5},
        history=[(0, {"val_loss": 0.5})],
        first_steps=LossCurve([1.0], 0.5),
        violated=["latency by 0.25"],
    )
    whole = Result(**{**vars(kept), "rows": {"test_loss": [1.0]}, "model_info": ModelInfo([], "")})
    assert Result.recorded("complete", json.loads(json.dumps(whole.record()))) == kept


@pytest.mark.parametrize("data", [{}, {"first_steps": None}, {"what_was_once_kept": 3}])
def test_an_earlier_record_without_todays_keys_is_read(data):
    recorded = Result.recorded("pruned", {"reason": "stopped", "seconds": 2.0, **data})
    assert recorded == Result("pruned", "stopped", seconds=2.0)
