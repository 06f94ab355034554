"""The look at a model before a search: its notes, and what cannot work."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

from actsearch.errors import ActsearchWarning, InvalidValueError, TaskError, UnknownNameError
from actsearch.search.loop.survey import SURVEY, survey
from actsearch.search.training.job import Result


def seen(run, **changes):
    """Return the result of an inspection."""
    return {SURVEY: Result("complete", model_info=replace(run.model_info, **changes))}


def test_one_job_inspects_the_model(study, scripted):
    run = study()
    executor = scripted(seen(run))
    assert survey(run.config, executor) == run.model_info
    assert {key: job.kind for key, job in executor.jobs.items()} == {SURVEY: "inspect"}


def test_every_note_is_told_once(study, scripted):
    run = study()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ActsearchWarning)
        survey(run.config, scripted(seen(run, notes=["ranges are unknown", "cost is unknown"])))
    assert [str(one.message) for one in told] == ["ranges are unknown.", "cost is unknown."]


def test_too_few_batches_for_fractions_of_them(study, scripted):
    run = study(fidelity="data")
    with pytest.raises(InvalidValueError, match="at least 9 batches in an epoch, but got 8"):
        survey(run.config, scripted(seen(run, batches=8)))
    assert survey(run.config, scripted(seen(run, batches=9))).batches == 9


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("refused: there is no loss.", "own.Own cannot be trained: there is no loss."),
        ("error: ValueError: no data", "own.Own cannot be trained: error: ValueError: no data."),
    ],
)
def test_a_model_that_cannot_be_inspected_is_told_with_the_reason(study, scripted, reason, told):
    with pytest.raises(TaskError) as raised:
        survey(study().config, scripted({SURVEY: Result("failed", reason)}))
    assert str(raised.value) == told


@pytest.mark.parametrize("option", ["sampler", "pruner"])
def test_an_unknown_name_is_told_before_anything_runs(study, scripted, option):
    executor, config = scripted(), study().config
    with pytest.raises(UnknownNameError, match="nobody"):
        survey(replace(config, **{option: "nobody"}), executor)
    assert not executor.jobs
