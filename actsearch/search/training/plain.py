"""One training by a user's own loop: build the model, apply the placement, train, measure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

from actsearch.placement.optimiser import own_group
from actsearch.search.training.early_stopping import EarlyStopping
from actsearch.search.training.fit import keep, noting_calls, place, seed
from actsearch.search.training.inspect_model import Seen, inspect_model
from actsearch.search.training.job import Job, Result
from actsearch.search.training.measuring import Measuring
from actsearch.search.training.origin import origin
from actsearch.search.training.reports import Reports
from actsearch.search.training.user_loop import Loop, mean, row_values


class _Enough(BaseException):
    """Ends a loop from within ``report``.

    No handler of the loop's own shall take it for an error.
    """


def train_loop(job: Job, reports: Reports, watch: EarlyStopping) -> Result:
    """Train by a user's loop. Its optimisers get the study's learning rate as they are built.

    It is told when to stop.

    A loop is not watched in its first steps, since nobody but itself sees them.
    """
    loop = Loop.resolve(job.task, job.model)
    inspecting = job.kind == "inspect"
    measuring = Measuring(job)
    seed(job.seed)
    model = loop.make(job.split)
    if job.placement is not None:
        place(model, job.placement, lambda: None, job)

    def report(epoch: int, metrics: dict[str, float]) -> bool:
        # An objective may come with the final metrics.
        unknown = {name: 0.0 for name in reports.objectives if name not in metrics}
        reports.check(unknown | metrics, loop.name)
        stop = reports.add(epoch, metrics, model)
        if inspecting and all(map(measuring.may_have, unknown)):
            raise _Enough
        return stop

    # The same batches and dropout, whatever the activations drew while they were built.
    seed(job.seed)
    start = time.perf_counter()
    found: dict[str, Any] = {}
    looking = inspecting or bool(job.measures)
    with (
        noting_calls(model, looking) as called,
        _noting_input(model, looking) as inputs,
        own_group(model, overall=job.learning_rate_factor),
    ):
        try:
            found = loop.run(model, report, job.split)
        except _Enough:
            found = dict(reports.history[-1][1])
    last = {name: mean(value) for name, value in found.items()}
    example = inputs[0] if inputs else None
    if inspecting:
        measured = measuring.unlogged(last, model, None, example)
        come = origin((loop.train, loop.build), {}, lambda: None)
        info = inspect_model(model, example, job, Seen(example, called), measured, origin=come)
        return Result("complete", metrics=last, model_info=info)
    if not reports.pruned:
        reports.check(last, loop.name)
    metrics = reports.settle(last, model)
    seconds = time.perf_counter() - start
    values = measuring.values("epoch", model, None, example)
    values |= measuring.values("end", model, None, example)
    if job.kind == "confirm":
        values |= measuring.values("confirm", model, None, example)
    if job.folder:
        keep(model, Path(job.folder), False)
    return Result(
        "pruned" if reports.pruned else "complete",
        "pruned" if reports.pruned else "",
        metrics | values,
        rows=row_values(found) if job.kind == "confirm" else {},
        seconds=seconds,
    )


@contextmanager
def _noting_input(model: nn.Module, wanted: bool) -> Iterator[list[Any]]:
    """Note the input of the model's first run."""
    inputs: list[Any] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not inputs and (args or kwargs):
            given: Any = args or kwargs
            given = given[0] if len(args) == 1 and not kwargs else given
            inputs.append(
                tree_map(lambda v: v.detach().clone() if isinstance(v, torch.Tensor) else v, given)
            )

    handle = model.register_forward_pre_hook(note, with_kwargs=True) if wanted else None
    try:
        yield inputs
    finally:
        if handle is not None:
            handle.remove()
