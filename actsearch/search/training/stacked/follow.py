"""A stack epoch by epoch: its members validated, each group reported, and ended where it fails."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as L
from torch import Tensor
from typing_extensions import override

from actsearch.search.training.early_stopping import EarlyStopping, StoppedError
from actsearch.search.training.fit import scalars
from actsearch.search.training.inspect_model import model_input
from actsearch.search.training.job import Job, Report, Result
from actsearch.search.training.measuring import Measuring
from actsearch.search.training.reports import DivergedError, Reports
from actsearch.search.training.stacked.logged import validate
from actsearch.search.training.stacked.members import part_of


@dataclass
class SeedGroup:
    """The seeds of one job in a stack: they report their mean, and end together.

    Args:
        jobs: one for each seed.
        report: called after each epoch with the mean.

    Attributes:
        reports: what was reported.
        watch: judges the first of them by its first steps.
        error: what ended them before the others.
        seconds: wall time until then, by their share of the stack.
        results: what came of each.
    """

    jobs: Sequence[Job]
    report: Report
    reports: Reports = field(init=False)
    watch: EarlyStopping = field(init=False)
    error: Exception | None = None
    seconds: float = 0.0
    results: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reports = Reports(self.jobs[0], self.report)
        self.watch = EarlyStopping(self.jobs[0].baseline)

    @property
    def ended(self) -> bool:
        """Whether it is not to be trained any further."""
        return self.error is not None or self.reports.pruned


class Follower(L.Callback):
    """After each epoch, validate every member, and hand over the mean of each group.

    Args:
        groups: of the stack's members, in their order.
    """

    def __init__(self, groups: Sequence[SeedGroup]) -> None:
        jobs = [job for group in groups for job in group.jobs]
        self.groups = groups
        self.metrics: list[dict[str, float]] = [{} for _ in jobs]
        self.examples: list[Any] = []
        self.each = [Reports(job, lambda *_: False) for job in jobs]
        self._measuring = [Measuring(job) for job in jobs]
        self._loaders: dict[int, list[Any]] = {}
        self._start = time.perf_counter()

    def members(self) -> Iterator[tuple[SeedGroup, range]]:
        """Yield each group that has not ended, and the numbers of its members."""
        first = 0
        for group in self.groups:
            if not group.ended:
                yield group, range(first, first + len(group.jobs))
            first += len(group.jobs)

    @contextmanager
    def _ending(self, trainer: L.Trainer, group: SeedGroup) -> Iterator[None]:
        """Let what ends one group leave the others alone."""
        try:
            yield
        except (DivergedError, StoppedError) as error:
            group.error = error
        if group.ended:
            share = len(group.jobs) / len(self.each)
            group.seconds = share * (time.perf_counter() - self._start)
            trainer.should_stop = all(one.ended for one in self.groups)

    @override
    def on_train_start(self, trainer: L.Trainer, module: Any) -> None:
        module.call("on_fit_start", "on_train_start")
        for group in self.groups:
            group.watch.on_train_start(trainer, module)

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, module: Any) -> None:
        module.call("on_train_epoch_start")

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
        for group, members in self.members():
            with self._ending(trainer, group):
                of_group = module.losses[members.start : members.stop].sum()
                group.watch.on_before_backward(trainer, module, of_group)

    @override
    def on_after_backward(self, trainer: L.Trainer, module: Any) -> None:
        for group, members in self.members():
            if group.watch.gradient is None:
                with self._ending(trainer, group), module.gradient_of(members[0]) as first:
                    group.watch.on_after_backward(trainer, first)

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        for group, members in self.members():
            # As a trainer hands it over.
            loss = module.losses[members[0]] / trainer.accumulate_grad_batches
            with self._ending(trainer, group):
                group.watch.on_train_batch_end(trainer, module, loss, batch, batch_idx)

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        trained = module.trained()
        every = trainer.check_val_every_n_epoch or 1
        if (trainer.current_epoch + 1) % every and not trainer.should_stop:
            return
        for group, members in self.members():
            with self._ending(trainer, group):
                for index in members:
                    self._validate(trainer, module.members[index], index, trained[index])
                found = [self.metrics[index] for index in members]
                mean = {
                    name: math.fsum(one[name] for one in found) / len(found)
                    for name in found[0]
                    if all(name in one for one in found)
                }
                group.reports.pass_on(trainer.current_epoch, mean)
        module.call("on_train_epoch_end")

    @override
    def on_train_end(self, trainer: L.Trainer, module: Any) -> None:
        module.call("on_train_end", "on_fit_end")

    def _validate(
        self, trainer: L.Trainer, member: Any, index: int, trained: dict[str, float]
    ) -> None:
        """Note what a member's epoch came to."""
        module, validated = member.module, dict[str, Any]()
        if type(module).validation_step is not L.LightningModule.validation_step:
            if index not in self._loaders:
                self._loaders[index] = member.loaders("val")
            loaders, most = self._loaders[index], trainer.limit_val_batches
            if isinstance(most, float):
                most = math.inf if most == 1.0 else int(most * len(loaders[0]))
            with member.drawing():
                validated = validate(module, loaders, most)
        metrics = {**trained, **scalars(validated)}
        given = module, member.data, self.examples[index]
        metrics |= self._measuring[index].after(trainer.current_epoch, *given)
        self.metrics[index] = metrics
        self.each[index].check(metrics, type(module).__name__)
        self.each[index].add(trainer.current_epoch, metrics, module)
