"""Train jobs as one network, where that is the same as one by one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from actsearch.search.training.fit import built, confirmed, keep
from actsearch.search.training.job import Job, Result
from actsearch.search.training.measuring import Measuring, require
from actsearch.search.training.stacked.follow import Follower, SeedGroup
from actsearch.search.training.stacked.members import Member
from actsearch.search.training.stacked.stack import Stack


def train_stacked(groups: Sequence[SeedGroup]) -> None:
    """Train all seeds of several jobs as one network.

    The jobs differ in seed, split, learning rate and placement alone.

    Args:
        groups: of at least two seeds in all, to one of which alone
            :func:`actsearch.search.training.stacked.compare.why_one_by_one` has nothing to say; get
            their results, or the error that ended them.

    Raises:
        NotStackableError: with these placements they cannot be trained beside each other.
    """
    with tempfile.TemporaryDirectory(prefix="actsearch-") as scratch:
        stack, trainers = stacked([job for group in groups for job in group.jobs], scratch)
        follower = Follower(groups)
        trainers[0].callbacks.append(follower)
        start = time.perf_counter()
        trainers[0].fit(stack)
        stack.separate()
        each = (time.perf_counter() - start) / len(stack.members)
        for group, members in follower.members():
            group.seconds = each * len(members)
            for index in members:
                member, reports = stack.members[index], follower.each[index]
                metrics = reports.settle(follower.metrics[index], member.module)
                example = follower.examples[index]
                result = _result(member, trainers[index], example, metrics)
                group.results.append(replace(result, history=reports.history, seconds=each))


def stacked(jobs: Sequence[Job], scratch: str) -> tuple[Stack, list[Any]]:
    """Return the members of jobs as one module, and the trainer of each."""
    members, trainers = [], []
    for job in jobs:
        module, data, trainer = built(job, 1.0, scratch)
        members.append(Member(job, module.to(trainer.strategy.root_device), data))
        trainers.append(trainer)
    stack = Stack(members)
    if trainers[0].limit_train_batches != 1.0 or trainers[0].overfit_batches != 0.0:
        stack.ahead = 1
    return stack, trainers


def _result(member: Member, trainer: Any, example: Any, metrics: dict[str, float]) -> Result:
    """Return what came of one member, measured and tested as it would be alone."""
    job, module, data = member.job, member.module, member.data
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
