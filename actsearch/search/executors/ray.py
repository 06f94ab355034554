"""Trainings as tasks of a Ray cluster, on this machine or on many."""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import ray
from ray.exceptions import (
    LocalRayletDiedError,
    RayActorError,
    RayError,
    RayTaskError,
    RuntimeEnvSetupError,
    TaskCancelledError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from typing_extensions import override

from actsearch.errors import StudyError
from actsearch.search.executors.executor import Executor, OnReport
from actsearch.search.executors.interrupts import Interrupts
from actsearch.search.executors.ray_cluster import connected, warn_without_room
from actsearch.search.executors.ray_mailbox import Answer, EpochReport, Mailbox
from actsearch.search.executors.ray_options import RayOptions
from actsearch.search.executors.ray_task import Assignment, Delivery, place_files, run_assignment
from actsearch.search.executors.resources import Resources, devices_asked
from actsearch.search.executors.threads import threads_each, usable_cores
from actsearch.search.training import given
from actsearch.search.training.job import Job, Result

TAKEN_UP = 3
"""Times that a training is begun again whose node, or Ray's process there, has died."""

PATIENCE_OF_CLOSE = 10.0
"""Seconds that trainings have to end by themselves before their worker is killed."""

ASKED_AGAIN = 2.0
"""Seconds after which they are asked again: Ray forgets it where a worker still loads its code."""


@dataclass
class _OnCluster:
    """A training on its way.

    Args:
        key: the caller's.
        job: what is trained.
        ref: of the task.
        attempt: the number of the last one.
        lost: attempts before it.
        answers: to its reports so far, of all attempts: they report the same.
    """

    key: int
    job: Job
    ref: Any = None
    attempt: int = 0
    lost: int = 0
    answers: list[bool] = field(default_factory=list)


class RayExecutor(Executor):
    """Runs each job as a task of a Ray cluster, there in a process of its own.

    A training that dies has failed, as with
    :class:`~actsearch.search.executors.local.LocalExecutor`. Where the node dies, or Ray's process
    on it, or a spot machine is taken away, it is begun again elsewhere; what it had reported is not
    passed on twice. Signals are as with the local executor.

    Args:
        jobs: how many are handed to Ray at a time; those that have no room there wait.
        timeout: seconds after which a trial is stopped; ``None`` for no limit.
        resources: CPUs and devices of each.
        options: which cluster, and what a training needs there.
    """

    def __init__(
        self,
        jobs: int = 1,
        timeout: float | None = None,
        resources: Resources | None = None,
        options: RayOptions | None = None,
    ) -> None:
        self.jobs = jobs
        self.timeout = timeout
        self.resources = resources or Resources()
        self.options = options or RayOptions()
        self._interrupts = Interrupts()
        self._running: dict[Any, _OnCluster] = {}
        self._connection: contextlib.ExitStack | None = None
        self._mailbox: Any = None
        self._news: Any = None
        self._attempts = itertools.count()
        self._cpus = self.resources.cpus or max(1, usable_cores() // jobs)
        self._has_gpus = self._brings_code = False

    def __enter__(self) -> Self:
        self._interrupts.hold()
        try:
            self._connect()
        except BaseException:
            self._interrupts.release()
            raise
        return self

    def __exit__(self, kind: object = None, *error: object) -> None:
        self.close()
        self._disconnect()
        self._interrupts.release()
        if kind is None:
            self._interrupts.check()

    def _connect(self) -> None:
        if self._connection is not None:
            return
        connection = contextlib.ExitStack()
        cpus = max(usable_cores(), self._cpus * self.jobs)
        connection.enter_context(connected(self.options, cpus))
        self._connection = connection
        self._has_gpus = bool(ray.cluster_resources().get("GPU"))
        self._brings_code = bool(self.options.environment().get("working_dir"))
        self._open_mailbox()

    def _disconnect(self) -> None:
        if self._connection is None:
            return
        with contextlib.suppress(RayError):
            self._mailbox.leave.remote()
        self._mailbox = self._news = None  # Ray ends what nobody knows any more
        self._connection.close()
        self._connection = None

    def _open_mailbox(self) -> None:
        # It ends with the coordinator's node and not before, which needs no CPU of it.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox = (
            ray.remote(Mailbox)
            .options(
                num_cpus=0,
                max_restarts=-1,
                max_task_retries=-1,
                max_concurrency=2 * self.jobs + 100,
                scheduling_strategy=here,
            )
            .remote()
        )
        self._news = self._mailbox.exchange.remote([])

    @override
    def submit(self, key: int, job: Job) -> None:
        self._connect()
        self._start(_OnCluster(key, job))

    def _start(self, trial: _OnCluster) -> None:
        job, gpus = trial.job, self._gpus(trial.job)
        share = Resources(threads_each(1, job.threads or self._cpus), gpus)
        trial.attempt = next(self._attempts)
        assignment = Assignment(
            trial.attempt,
            job.dumps(),
            given.dumps(job.paths),
            self.timeout,
            share,
            "" if self._brings_code else str(Path.cwd()),
            _own_path(),
        )
        if assignment.attempt == 0:
            warn_without_room({"CPU": self._cpus, "GPU": gpus, **self.options.wanted})
        task = ray.remote(run_assignment).options(
            name="actsearch",
            max_retries=0,
            num_cpus=self._cpus,
            num_gpus=gpus,
            resources=self.options.wanted,
        )
        trial.ref = task.remote(assignment, self._mailbox)
        self._running[trial.ref] = trial

    def _gpus(self, job: Job) -> float:
        if self.resources.gpus is not None:
            return self.resources.gpus
        return devices_asked(job, 1) if self._has_gpus else 0

    def wait(self, on_report: OnReport) -> list[tuple[int, Result]]:
        """Wait at most a quarter of a second for news."""
        self._interrupts.check()
        if not self._running:
            time.sleep(0.05)
            return []
        refs = [self._news, *self._running]
        ready, _ = ray.wait(refs, num_returns=1, timeout=0.25)
        if ready:
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        self._interrupts.check()
        if self._news in ready:
            self._answer(lambda trial, epoch, metrics: on_report(trial.key, epoch, metrics))
        ended = []
        for trial in [self._running.pop(ref) for ref in ready if ref in self._running]:
            result = self._ended(trial)
            if result is not None:
                ended.append((trial.key, result))
        return ended

    def _answer(self, on_report: Any) -> None:
        """Pass reports on, and send the answers; those to known reports are as they were."""
        try:
            reports: list[EpochReport] = ray.get(self._news)
        except RayActorError:  # somebody has ended it for good
            self._open_mailbox()
            return
        current = {trial.attempt: trial for trial in self._running.values()}
        answers = []
        for attempt, number, epoch, metrics in reports:
            trial = current.get(attempt)
            if trial is not None and number == len(trial.answers):
                trial.answers.append(on_report(trial, epoch, metrics))
            answers.append(Answer(attempt, number, trial is None or trial.answers[number]))
        self._news = self._mailbox.exchange.remote(answers)

    def _ended(self, trial: _OnCluster) -> Result | None:
        """Return what came of a training; ``None`` where it was begun again."""
        try:
            delivery: Delivery = ray.get(trial.ref)
        except (LocalRayletDiedError, RuntimeEnvSetupError) as error:
            raise StudyError(_no_way(error)) from error
        except RayTaskError as error:
            # Ray hands these on inside of one that says where they were raised.
            if not isinstance(error.cause, (RayActorError, TaskCancelledError)):
                raise StudyError(_no_way(error.cause)) from error
            return self._take_up(trial, error.cause)
        except RayError as error:
            return self._take_up(trial, error)
        place_files(trial.job, delivery.files)
        return Result.loads(delivery.result)

    def _take_up(self, trial: _OnCluster, error: Exception) -> Result | None:
        trial.lost += 1
        if trial.lost > TAKEN_UP:
            told = " ".join(str(error).split())[:300]
            reason = f"lost: {trial.lost} times, at last: {type(error).__name__}: {told}"
            return Result("failed", reason)
        self._start(trial)
        return None

    def close(self) -> None:
        """End every training, and wait until all are gone; the cluster stays."""
        if not self._running:
            return
        left = list(self._running)
        asked, until = -math.inf, time.monotonic() + PATIENCE_OF_CLOSE
        with contextlib.suppress(RayError):
            while left and (now := time.monotonic()) < until:
                if now - asked > ASKED_AGAIN:
                    asked = now
                    for ref in left:
                        ray.cancel(ref)
                ready, _ = ray.wait([self._news, *left], num_returns=1, timeout=0.25)
                if self._news in ready:
                    self._answer(lambda *_: True)
                left = [ref for ref in left if ref not in ready]
        for ref in left:
            ray.cancel(ref, force=True)
        self._running.clear()


def _own_path() -> list[str]:
    """Return where this process looks for modules, beside its Python's own places."""
    own = [str(Path.cwd()) if place == "" else place for place in sys.path]
    python = tuple(f"{prefix}/lib" for prefix in (sys.prefix, sys.base_prefix))
    return [place for place in own if not place.startswith(python)]


def _no_way(error: BaseException) -> str:
    told = " ".join(str(error).split())[:500]
    return (
        f"every node of the Ray cluster must run a training, but: {type(error).__name__}:"
        f" {told.rstrip('.')}. Each needs the same Python, actsearch and your code"
        " (--ray-runtime-env); the same call goes on where it stood."
    )
