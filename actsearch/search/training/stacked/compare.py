"""Whether a seed does beside another what it does alone."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import lightning.pytorch as L
from typing_extensions import override

from actsearch.search.training.fit import built, scalars
from actsearch.search.training.job import Job
from actsearch.search.training.seeds import derive
from actsearch.search.training.stacked.checks import (
    NotStackableError,
    check_module,
    check_trainer,
    is_near,
)
from actsearch.search.training.stacked.follow import Follower, SeedGroup
from actsearch.search.training.stacked.stack import Stack
from actsearch.search.training.stacked.train import stacked

COMPARED_STEPS = 3
"""Steps in which the first seed must do alone what it does beside the others."""


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

    stack, (trainer, *_) = stacked(jobs, scratch)
    stack.ahead = 1  # it is ended within an epoch
    beside = _Steps()
    follower = Follower([SeedGroup(jobs, lambda *_: False)])
    trainer.callbacks += [beside, follower]
    trainer.fit(stack)
    found = follower.metrics[0]
    for step, (one, other) in enumerate(zip(alone.losses, beside.losses, strict=True)):
        if not is_near(one, other):
            raise NotStackableError(
                f"its loss in step {step + 1} is {one:.7g} alone, {other:.7g} beside another seed"
            )
    for name, value in wanted.items():
        if name not in found or not is_near(value, found[name]):
            raise NotStackableError(
                f"{name} is {value:.7g} alone, and {found.get(name)} beside another seed"
            )
