"""Laws that every executor obeys, as a class that an executor's own tests inherit.

An executor of one's own (a cluster's queue, a pool of machines) is a class with three methods, and
``run_search(..., executor=MyExecutor())`` takes it::

    class MyExecutor(Executor):
        def submit(self, key: int, job: Job) -> None:
            self.keys[queue.send(node_main, job.dumps())] = key  # it calls run_job(Job.loads(text))
        def wait(self, on_report: OnReport) -> list[tuple[int, Result]]:
            return [(self.keys.pop(one.id), Result.loads(one.text)) for one in queue.ended(soon)]
        def close(self) -> None: queue.cancel_all()

It is an executor where its tests say so::

    class TestMyExecutor(ExecutorLaws):
        @pytest.fixture
        def executor(self):
            return MyExecutor()
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from actsearch.search.executors.executor import Executor
from actsearch.search.executors.guardian import is_alive
from actsearch.search.training.job import Job, Result
from actsearch.search.training.target import Target
from actsearch.search.training.train import run_job

Ending = Literal["well", "raise", "exit", "abort", "kill", "hang"]
"""What a training does in its first step.

It goes on, raises, calls ``sys.exit``, ends its process at once, is killed, or waits for ever.
"""

LAW_PATIENCE = 300.0
"""Seconds after which a law gives up on an executor."""


class Tiny(L.LightningModule):
    """A training of a moment, which can go wrong.

    Args:
        ending: what its first step does.
        mark: a file for the number of the process that it runs in.
    """

    def __init__(self, ending: Ending = "well", mark: str = "") -> None:
        super().__init__()
        self.ending = ending
        self.mark = mark
        self.net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def on_train_start(self) -> None:
        """Note the process."""
        if self.mark:
            whole = Path(f"{self.mark}.part")
            whole.write_text(str(os.getpid()))
            whole.rename(self.mark)

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
        """Go wrong, or return the loss."""
        match self.ending:
            case "raise":
                raise RuntimeError("a mistake")
            case "exit":
                sys.exit(3)
            case "abort":
                os._exit(7)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                threading.Event().wait()
        return self._loss(batch)

    def validation_step(self, batch: tuple[Tensor, ...], index: int) -> None:
        """Log the loss."""
        self.log("val_loss", self._loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Return eight rows."""
        x = torch.linspace(-1, 1, 16).view(8, 2)
        return DataLoader(TensorDataset(x, x.prod(1, keepdim=True)), batch_size=4)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Return the same rows."""
        return self.train_dataloader()

    def _loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        x, y = batch
        return nn.functional.mse_loss(self.net(x), y)


def tiny_job(epochs: int = 1, **options: Any) -> Job:
    """Return a training of :class:`Tiny`.

    Args:
        epochs: of the training.
        **options: of the module.
    """
    name = f"{Tiny.__module__}.{Tiny.__qualname__}"
    given = {f"task.{key}": value for key, value in options.items()}
    trainer = {"trainer.max_epochs": epochs, "trainer.accelerator": "cpu"}
    config = Target.resolve(name).configure(given | trainer)
    return Job(name, config, ["val_loss"], seed=1, threads=1)


class ExecutorLaws:
    """What holds for every executor: inherit, and say how one is built.

    Attributes:
        survives: what a training may do without harm to the others. An executor whose trainings
            share its own process outlives no more than ``raise`` and ``exit``.

    Fixtures:
        executor: a fresh executor, which runs two trainings at a time where it can.
    """

    survives: ClassVar[tuple[Ending, ...]] = ("raise", "exit", "abort", "kill", "hang")

    @pytest.fixture
    def executor(self) -> Executor:
        """Return a fresh executor."""
        raise NotImplementedError("a test of an executor must have a fixture `executor`")

    def test_every_key_comes_back_once_and_one_that_fails_harms_no_other(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        """Whatever a training does, the others end as they would alone; no process is left."""
        endings: list[Ending] = ["well", *self.survives, "well"]
        marks = [tmp_path / f"{key}.pid" for key in range(len(endings))]
        with executor:
            for key, ending in enumerate(endings):
                executor.submit(key, tiny_job(ending=ending, mark=str(marks[key])))
            due = {key for key, ending in enumerate(endings) if ending != "hang"}
            ended = _ended(executor, due, lambda: all(mark.exists() for mark in marks))
            assert executor.wait(_go_on) == [], "a key comes back once"
        for key, result in ended.items():
            state = "complete" if endings[key] == "well" else "failed"
            assert result.state == state, (endings[key], result)
            assert bool(result.reason) == (state == "failed"), "what failed says why"
        first, *_, last = (result for result in ended.values() if result.state == "complete")
        assert _comparable(first) == _comparable(last)
        left = {int(mark.read_text()) for mark in marks} - {os.getpid()}
        assert not set(filter(is_alive, left)), "close leaves no process behind"

    def test_a_result_is_the_same_wherever_the_job_ran(self, executor: Executor) -> None:
        """It is what the training comes to in this process."""
        job = tiny_job(epochs=2)
        with executor:
            executor.submit(5, job)
            ended = _ended(executor, {5})
        assert _comparable(ended[5]) == _comparable(run_job(job, lambda *_: False))

    def test_reports_come_under_their_key_and_the_answer_stops_a_training(
        self, executor: Executor
    ) -> None:
        """Each epoch is reported once, in order; the one that is told to stop does, alone."""
        reports: dict[int, list[tuple[int, dict[str, float]]]] = {3: [], 8: []}

        def on_report(key: int, epoch: int, metrics: dict[str, float]) -> bool:
            reports[key].append((epoch, metrics))
            return key == 3

        with executor:
            for key in reports:
                executor.submit(key, tiny_job(epochs=3))
            ended = _ended(executor, set(reports), on_report=on_report)
        assert {key: result.state for key, result in ended.items()} == {3: "pruned", 8: "complete"}
        assert {key: len(told) for key, told in reports.items()} == {3: 1, 8: 3}
        assert {key: result.history for key, result in ended.items()} == reports
        assert all("val_loss" in metrics for told in reports.values() for _, metrics in told)

    def test_close_forgets_what_was_submitted(self, executor: Executor) -> None:
        """Nothing comes back afterwards, and it can be closed again."""
        executor.submit(0, tiny_job())
        executor.close()
        assert executor.wait(_go_on) == []
        executor.close()

    def test_with_nothing_to_do_it_waits_for_nothing(self, executor: Executor) -> None:
        """An idle executor returns soon, with no result."""
        with executor:
            assert executor.wait(_go_on) == []


def _go_on(key: int, epoch: int, metrics: dict[str, float]) -> bool:
    return False


def _ended(
    executor: Executor,
    due: set[int],
    also: Callable[[], bool] = lambda: True,
    on_report: Callable[[int, int, dict[str, float]], bool] = _go_on,
) -> dict[int, Result]:
    """Wait until some keys are back, and something else holds as well."""
    ended: dict[int, Result] = {}
    give_up = time.monotonic() + LAW_PATIENCE
    while not (due <= ended.keys() and also()):
        assert time.monotonic() < give_up, f"keys {sorted(due - ended.keys())} must come back"
        for key, result in executor.wait(on_report):
            assert key in due - ended.keys(), f"key {key} must come back once, and only if it ended"
            ended[key] = result
    return ended


def _comparable(result: Result) -> Result:
    """Return a result without what a clock says."""
    return replace(result, seconds=0.0, cpu=0.0)
