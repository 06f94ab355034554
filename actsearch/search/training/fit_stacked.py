"""Train several seeds of one placement as one network, where that is the same as one by one."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from torch import Tensor
from typing_extensions import override

from actsearch.search.training.early_stopping import EarlyStopping
from actsearch.search.training.fit import built, confirmed, keep, scalars
from actsearch.search.training.inspect_model import model_input
from actsearch.search.training.job import Job, Result
from actsearch.search.training.logged import validate
from actsearch.search.training.measuring import Measuring, require
from actsearch.search.training.reports import Reports
from actsearch.search.training.seeds import derive
from actsearch.search.training.stacked import (
    Member,
    NotStackableError,
    Stack,
    check_module,
    check_trainer,
    part_of,
)

COMPARED_STEPS = 3
"""Steps in which the first seed must do alone what it does beside the others."""

TOLERANCE = 1e-5
"""How far the losses of these steps may be off, and what is logged after them, relative to 1."""


def why_one_by_one(job: Job) -> str:
    """Return why a job's seeds cannot be trained as one network; nothing where they can.

    For a few steps and one validation, a seed must do alone what it does beside another.
    """
    jobs = [
        replace(
            job,
            kind="search",
            seed=derive(job.seed, "beside", index),
            score="last",
            objectives=[],
            measures={},
        )
        for index in range(2)
    ]
    try:
        with tempfile.TemporaryDirectory(prefix="actsearch-") as scratch:
            _compare(jobs, scratch)
    except NotStackableError as error:
        return str(error)
    except (Exception, SystemExit) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None  # Lightning turns Ctrl-C into sys.exit(1)
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ""


def train_stacked(jobs: Sequence[Job], reports: Reports, watch: EarlyStopping) -> list[Result]:
    """Train jobs that differ in their seeds alone as one network.

    Args:
        jobs: at least two, of which :func:`why_one_by_one` has nothing to say.
        reports: gets the mean over the seeds after each epoch.
        watch: judges the first of them by its first steps.

    Returns:
        What came of each.

    Raises:
        NotStackableError: with this placement they cannot be trained beside each other.
    """
    with tempfile.TemporaryDirectory(prefix="actsearch-") as scratch:
        return _train(jobs, reports, watch, scratch)


def _train(
    jobs: Sequence[Job], reports: Reports, watch: EarlyStopping, scratch: str
) -> list[Result]:
    stack, trainers = _stack(jobs, scratch)
    follower = _Follower(reports, jobs, watch)
    trainers[0].callbacks.append(follower)
    start = time.perf_counter()
    trainers[0].fit(stack)
    stack.separate()
    if reports.pruned:
        seconds = time.perf_counter() - start
        return [Result("pruned", "pruned", seconds=seconds / len(jobs)) for _ in jobs]
    seconds = (time.perf_counter() - start) / len(jobs)
    found = []
    for index, each in enumerate(zip(jobs, stack.members, trainers, strict=True)):
        metrics, history = follower.settled(index, each[1].module)
        result = _result(*each, follower.examples[index], metrics)
        found.append(replace(result, history=history, seconds=seconds))
    return found


def _result(
    job: Job, member: Member, trainer: Any, example: Any, metrics: dict[str, float]
) -> Result:
    """Return what came of one seed, measured and tested as it would be alone."""
    module, data = member.module, member.data
    require(metrics, job.objectives, type(module).__name__)
    measuring = Measuring(job)
    rows: dict[str, list[float]] = {}
    with member.drawing():
        if job.kind == "confirm":
            metrics, rows = confirmed(measuring, metrics, module, data, trainer, example)
        else:
            metrics = metrics | measuring.values("end", module, data, example)
    if job.folder:
        keep(module, Path(job.folder), job.pictures)
    return Result("complete", metrics=metrics, rows=rows)


def _stack(jobs: Sequence[Job], scratch: str) -> tuple[Stack, list[Any]]:
    """Return the members of jobs as one module, and the trainer of each."""
    members, trainers = [], []
    for job in jobs:
        module, data, trainer = built(job, 1.0, scratch)
        members.append(Member(module.to(trainer.strategy.root_device), data))
        trainers.append(trainer)
    stack = Stack(members)
    if trainers[0].limit_train_batches != 1.0 or trainers[0].overfit_batches != 0.0:
        stack.ahead = 1
    return stack, trainers


class _Follower(L.Callback):
    """After each epoch, validate every member, and hand over the mean of what they log.

    Args:
        reports: where it goes.
        jobs: of the members.
        watch: judges the first member by its first steps.
    """

    def __init__(self, reports: Reports, jobs: Sequence[Job], watch: EarlyStopping) -> None:
        self.reports, self.watch = reports, watch
        self.metrics: list[dict[str, float]] = []
        self.examples: list[Any] = []
        self._measuring = [Measuring(job) for job in jobs]
        self._loaders: list[list[Any]] = []
        self._each = [Reports(job, lambda *_: False) for job in jobs]

    @override
    def on_train_start(self, trainer: L.Trainer, module: Any) -> None:
        module.each(lambda member: (member.on_fit_start(), member.on_train_start()))
        self.watch.on_train_start(trainer, module)

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, module: Any) -> None:
        module.each(lambda member: member.on_train_epoch_start())

    @override
    def on_train_batch_start(
        self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self.examples:
            parts = (part_of(batch, index) for index in range(len(module.members)))
            self.examples = [
                model_input(member.module, part)
                for member, part in zip(module.members, parts, strict=True)
            ]

    @override
    def on_before_backward(self, trainer: L.Trainer, module: Any, loss: Tensor) -> None:
        self.watch.on_before_backward(trainer, module, loss)

    @override
    def on_after_backward(self, trainer: L.Trainer, module: Any) -> None:
        if self.watch.gradient is None:
            with module.first_gradient() as first:
                self.watch.on_after_backward(trainer, first)

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = module.losses[0] / trainer.accumulate_grad_batches  # as a trainer hands it over
        self.watch.on_train_batch_end(trainer, module, loss, batch, batch_idx)

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        trained = module.trained()
        every = trainer.check_val_every_n_epoch or 1
        if (trainer.current_epoch + 1) % every and not trainer.should_stop:
            return
        validated = self._validate(trainer, module)
        self.metrics = [{**one, **other} for one, other in zip(trained, validated, strict=True)]
        for index, (member, metrics) in enumerate(zip(module.members, self.metrics, strict=True)):
            example = self.examples[index]
            measuring, reports = self._measuring[index], self._each[index]
            metrics |= measuring.values("epoch", member.module, member.data, example)
            reports.check(metrics, type(member.module).__name__)
            reports.add(trainer.current_epoch, metrics, member.module)
        module.each(lambda member: member.on_train_epoch_end())
        names = set.intersection(*map(set, self.metrics))
        mean = {
            name: _mean([one[name] for one in self.metrics])
            for name in self.metrics[0]
            if name in names
        }
        if self.reports.pass_on(trainer.current_epoch, mean):
            trainer.should_stop = True

    @override
    def on_train_end(self, trainer: L.Trainer, module: Any) -> None:
        module.each(lambda member: (member.on_train_end(), member.on_fit_end()))

    def _validate(self, trainer: L.Trainer, module: Any) -> list[dict[str, float]]:
        first = type(module.members[0].module)
        if first.validation_step is L.LightningModule.validation_step:
            return [{} for _ in module.members]
        self._loaders = self._loaders or [member.loaders("val") for member in module.members]
        most = trainer.limit_val_batches
        loaders = iter(self._loaders)
        if isinstance(most, float):
            most = math.inf if most == 1.0 else int(most * len(self._loaders[0][0]))
        found = module.each(lambda member: validate(member, next(loaders), most))
        return list(map(scalars, found))

    def settled(
        self, index: int, module: Any
    ) -> tuple[dict[str, float], list[tuple[int, dict[str, float]]]]:
        """Return a member's metrics that count, and its history.

        The weights of the epoch that counts are put into it.
        """
        reports = self._each[index]
        return reports.settle(self.metrics[index], module), reports.history


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


class _Steps(L.Callback):
    """Note the losses of the first few steps, and end the training there."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"]
        if isinstance(module, Stack):
            loss = module.losses[0] / trainer.accumulate_grad_batches
        self.losses.append(float(loss))
        trainer.should_stop = trainer.global_step >= COMPARED_STEPS


def _compare(jobs: Sequence[Job], scratch: str) -> None:
    """Train the first seed alone and beside another for a few steps.

    Raises:
        NotStackableError: the losses differ, or what is logged after them.
    """
    if jobs[0].model:
        raise NotStackableError("it is a loop of the user's own")
    module, data, trainer = built(jobs[0], 1.0, scratch)
    check_module(module)
    check_trainer(trainer)
    alone = _Steps()
    trainer.callbacks.append(alone)
    trainer.fit(module, datamodule=data)
    wanted = scalars(trainer.callback_metrics)

    stack, (trainer, *_) = _stack(jobs, scratch)
    stack.ahead = 1  # it is ended within an epoch
    beside = _Steps()
    follower = _Follower(Reports(jobs[0], lambda *_: False), jobs, EarlyStopping())
    trainer.callbacks += [beside, follower]
    trainer.fit(stack)
    found = follower.metrics[0]
    for step, (one, other) in enumerate(zip(alone.losses, beside.losses, strict=True)):
        if not _near(one, other):
            raise NotStackableError(
                f"its loss in step {step + 1} is {one:.7g} alone, {other:.7g} beside another seed"
            )
    for name, value in wanted.items():
        if name not in found or not _near(value, found[name]):
            raise NotStackableError(
                f"{name} is {value:.7g} alone, and {found.get(name)} beside another seed"
            )


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= TOLERANCE * max(1.0, abs(one)) or (
        math.isnan(one) and math.isnan(other)
    )
