"""The coordinator asks, tells and records; here a script takes the place of trainings."""

from __future__ import annotations

import math

import pytest

from actsearch.errors import ActsearchWarning, StudyError
from actsearch.search.loop.coordinator import EXHAUSTED, Coordinator
from actsearch.search.loop.listener import Listener
from actsearch.search.study.record import counts, result_of
from actsearch.search.training.job import Result


class Diary(Listener):
    """Notes what it is told."""

    def __init__(self):
        self.notes = []

    def started(self, run, total):
        self.notes.append(f"started {total}")

    def trial_started(self, number, placement):
        self.notes.append(f"{number} starts, {'own' if placement is None else 'placed'}")

    def reported(self, number, epoch, metrics):
        self.notes.append(f"{number} reports {epoch}")

    def trial_ended(self, trial):
        self.notes.append(f"{trial.number} ends, {trial.state.name}")

    def ended(self):
        self.notes.append("ended")


def states(run):
    return [trial.state.name for trial in run.trials]


def test_listeners_hear_everything_in_order_and_the_executor_is_closed(study, scripted):
    history = [(0, {"val_loss": 0.9}), (1, {"val_loss": 0.8})]
    executor = scripted({1: Result("complete", metrics={"val_loss": 0.8}, history=history)})
    first, second = Diary(), Diary()
    Coordinator(study(), executor, listeners=[first, second]).search(3)
    assert first.notes == second.notes
    assert first.notes == [
        "started 3",
        "0 starts, own",
        "0 ends, COMPLETE",
        "1 starts, placed",
        "1 reports 0",
        "1 reports 1",
        "1 ends, COMPLETE",
        "2 starts, placed",
        "2 ends, COMPLETE",
        "ended",
    ]
    assert executor.closed


def test_optunas_own_tools_see_the_metrics_by_name(study):
    assert study(objectives=["val_loss:min", "val_time:min"]).study.metric_names == [
        "val_loss",
        "val_time",
    ]


def test_trials_of_an_earlier_process_count(study, scripted):
    run = study()
    Coordinator(run, scripted()).search(2)
    executor = scripted()
    Coordinator(run, executor).search(3)
    assert list(executor.jobs) == [2]
    assert [trial.values for trial in run.trials] == [[1.0], [1 / 2], [1 / 3]]


def test_a_lost_trial_is_taken_up_again_under_its_number(study, scripted):
    run = study()
    run.study.ask()  # and this process dies
    executor = scripted()
    Coordinator(run, executor).search(2)
    assert list(executor.jobs) == [0, 1]
    assert states(run) == ["COMPLETE", "COMPLETE"]
    assert run.trials[0].user_attrs["attempts"] == 2


def test_a_trial_that_was_lost_three_times_fails(study, scripted):
    run = study()
    Coordinator(run, scripted()).search(1)
    run.study.ask().set_user_attr("attempts", 3)
    executor = scripted()
    executor.in_this_process = True
    Coordinator(run, executor).search(3)
    assert list(executor.jobs) == [2]
    assert states(run) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert result_of(run.trials[1]).reason == "lost: the search died 3 times in this trial"


@pytest.mark.parametrize("in_this_process", [True, False])
def test_a_baseline_is_never_lost(study, scripted, in_this_process):
    run = study()
    run.study.ask().set_user_attr("attempts", 3)
    executor = scripted()
    executor.in_this_process = in_this_process
    Coordinator(run, executor).search(2)
    assert list(executor.jobs) == [0, 1]
    assert states(run) == ["COMPLETE", "COMPLETE"]


def test_where_trainings_have_processes_of_their_own_no_trial_is_lost(study, scripted):
    run = study()
    Coordinator(run, scripted()).search(1)
    run.study.ask().set_user_attr("attempts", 9)
    executor = scripted()
    Coordinator(run, executor).search(2)
    assert list(executor.jobs) == [1]
    assert states(run) == ["COMPLETE", "COMPLETE"]


def test_what_runs_when_a_search_is_interrupted_waits_for_the_next(study, scripted):
    class Interrupted(scripted):
        def wait(self, on_report):
            raise KeyboardInterrupt

    run, executor = study(), Interrupted()
    with pytest.raises(KeyboardInterrupt):
        Coordinator(run, executor).search(3)
    assert executor.closed
    assert states(run) == ["WAITING"]


def test_a_failed_baseline_ends_the_search_with_its_reason(study, scripted):
    executor = scripted({0: Result("failed", "error: ValueError: no data")})
    with pytest.raises(StudyError, match="must train, but ended: error: ValueError: no data"):
        Coordinator(study(), executor).search(3)
    assert executor.closed
    assert list(executor.jobs) == [0]


@pytest.mark.parametrize(
    "result",
    [Result("failed", "exited: code 1"), Result("complete", metrics={"val_loss": math.nan})],
)
def test_a_failed_baseline_is_tried_again_by_the_next_call(study, scripted, result):
    run = study()
    with pytest.raises(StudyError, match="The same call tries it again"):
        Coordinator(run, scripted({0: result})).search(3)
    assert states(run) == ["WAITING"]
    executor = scripted()
    Coordinator(run, executor).search(3)
    assert list(executor.jobs) == [0, 1, 2]
    assert run.baseline.number == 0


def test_a_study_that_another_process_made_meanwhile_is_opened_and_not_made_anew(study, scripted):
    first = study()
    Coordinator(first, scripted()).search(2)
    assert [trial.values for trial in study().trials] == [trial.values for trial in first.trials]


@pytest.mark.parametrize("metrics", [{"val_loss": math.nan}, {"val_loss": math.inf}, {}])
def test_a_value_that_is_not_finite_fails_and_the_search_goes_on(study, scripted, metrics):
    run = study()
    Coordinator(run, scripted({1: Result("complete", metrics=metrics)})).search(3)
    assert states(run) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert result_of(run.trials[1]).reason.startswith("diverged: ")


def test_a_failed_and_a_pruned_training_are_told_as_such(study, scripted):
    ended = {1: Result("failed", "timeout: longer than 5 s"), 2: Result("pruned", "stopped: late")}
    run = study()
    Coordinator(run, scripted(ended)).search(4)
    assert states(run) == ["COMPLETE", "FAIL", "PRUNED", "COMPLETE"]
    assert [result_of(trial).reason for trial in run.trials[1:3]] == [
        "timeout: longer than 5 s",
        "stopped: late",
    ]


def test_a_broken_bound_is_recorded_and_keeps_a_trial_from_winning(study, scripted):
    metrics = [{"val_loss": 1 - 0.1 * n, "latency": 0.25 * (n + 1)} for n in range(4)]
    run = study(require=["latency <= 0.5"])
    results = {n: Result("complete", metrics=told) for n, told in enumerate(metrics)}
    Coordinator(run, scripted(results)).search(4)
    told = [result_of(trial).violated for trial in run.trials]
    assert told == [[], [], ["latency by 0.25"], ["latency by 0.5"]]
    assert [trial.number for trial in run.ranked()] == [1, 0]


@pytest.mark.parametrize(
    ("seconds", "reserved", "trials"),
    [(0, 0, 0), (50, 0, 1), (1e6, 0, 4), (150, 1, 1), (1e6, 1, 4)],
)
def test_no_trial_starts_that_would_outlast_the_time(study, scripted, seconds, reserved, trials):
    long = Result("complete", metrics={"val_loss": 1.0}, seconds=100.0)
    executor = scripted(dict.fromkeys(range(4), long))
    Coordinator(study(), executor).search(4, seconds, reserved)
    assert len(executor.jobs) == trials


def test_only_the_weights_of_the_best_and_of_the_baseline_are_kept(study, scripted):
    losses = [0.5, 0.4, 0.2, 0.3]
    results = {n: Result("complete", metrics={"val_loss": v}) for n, v in enumerate(losses)}
    run = study()
    Coordinator(run, scripted(results)).search(4)
    kept = sorted(file.parent.name for file in run.folder.glob("trials/*/weights.safetensors"))
    assert kept == ["00000", "00002"]


@pytest.mark.timeout(60)
def test_what_still_runs_is_waited_for_where_all_else_was_tried(study, scripted):
    run = study({"relu": None, "tanh": None}, sampler="function_space")
    with pytest.warns(ActsearchWarning, match="the search stops after 2 trials"):
        Coordinator(run, scripted(), jobs=2).search(4)
    assert sum(map(counts, run.trials)) == 2
    assert len(run.trials) <= 2 + 2 * EXHAUSTED
