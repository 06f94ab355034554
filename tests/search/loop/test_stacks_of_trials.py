"""Trials that are known beforehand train as one network, and come to the same one by one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from actsearch.search.executors.executor import Executor
from actsearch.search.loop.coordinator import Coordinator
from actsearch.search.loop.listener import Listener
from actsearch.search.study.record import counts, is_spared, phase_of
from actsearch.search.training.job import Result

SPACE = dict.fromkeys(("relu", "tanh", "silu", "gelu", "softplus"))
SPACE["elu"] = {"alpha": {"low": 0.5, "high": 2.0}}
STACKABLE = {"one_by_one": "", "elements": 8}


@dataclass
class Stacking(Executor):
    """Scores by activation and rate, of all jobs beside each other, or of none."""

    refuses: bool = False
    stacks: list = field(default_factory=list)
    waiting: list = field(default_factory=list)
    most: int = 0

    def submit(self, key, job):
        together = [job, *job.further]
        self.stacks.append(len(together))
        self.waiting.append((key, together))
        self.most = max(self.most, len(self.waiting))

    def wait(self, on_report):
        if not self.waiting:
            return []
        key, jobs = self.waiting.pop(0)
        if self.refuses and len(jobs) > 1:
            return [(key, Result("failed", "one by one: it draws"))]
        first, *further = map(self.score, jobs)
        return [(key, replace(first, further=further))]

    @staticmethod
    def score(job):
        name = job.placement.sites["site"].activation if job.placement else "own"
        loss = abs(job.learning_rate_factor - 3) + len(name) / 10 + job.repeats / 100
        return Result("complete", metrics={"val_loss": loss}, history=[(0, {"val_loss": loss})])

    def close(self):
        self.waiting.clear()


@pytest.fixture
def opened(study):
    return lambda **seen: study(SPACE, seen=seen, learning_rate="tuned")


def found(run):
    return [(phase_of(t), run.choices(t), run.factor(t), t.values) for t in run.trials]


def test_rates_and_famous_activations_train_together(opened):
    run, executor = opened(**STACKABLE), Stacking()
    Coordinator(run, executor).search(12, top=2)
    phases = [phase_of(trial) for trial in run.trials]
    famous = phases.count("famous")
    assert executor.stacks[:3] == [3, 1, famous], "three rates, one more beyond, all of the famous"
    assert famous > 2
    assert 2 in executor.stacks[3:], "the rates beside that of a finalist"
    first = next(trial for trial in run.trials if phase_of(trial) == "famous")
    assert all(trial.intermediate_values == {0: trial.values[0]} for trial in run.trials[1:3])
    assert first.user_attrs["stack"] == first.number


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_cannot_be_one_network_runs_one_by_one(opened, jobs):
    run, executor = opened(**STACKABLE), Stacking(refuses=True)
    Coordinator(run, executor, jobs).search(12, top=2)
    trained = [trial for trial in run.trials if not is_spared(trial)]
    alone = executor.stacks.count(1)
    assert alone == len(trained)
    assert len(executor.stacks) == alone + 1, "tried once, then nobody tries again"
    assert executor.most <= jobs
    assert all(trial.state.name == "COMPLETE" for trial in run.trials)


class StopAfter(Listener):
    """Stands for a person who presses Ctrl-C."""

    def __init__(self, number):
        self.number = number

    def trial_ended(self, trial):
        if trial.number == self.number:
            raise KeyboardInterrupt


@pytest.mark.parametrize("number", [0, 1, 5])
def test_a_stack_that_was_cut_trains_as_the_same_network_again(opened, tmp_path, number):
    run, executor = opened(**STACKABLE), Stacking()
    with pytest.raises(KeyboardInterrupt):
        Coordinator(run, executor, listeners=[StopAfter(number)]).search(12)
    before, cut = found(run), executor.stacks[-1]
    again = Stacking()
    Coordinator(run, again).search(12)
    assert again.stacks[0] == cut
    assert found(run)[: number + 1] == before[: number + 1]
    assert all(trial.state.name == "COMPLETE" for trial in run.trials)
    assert sum(map(counts, run.trials)) == 12
