"""Trainings each in a process of its own on this machine."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import util
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self

from typing_extensions import override

from actsearch.search.executors.child import run_child
from actsearch.search.executors.executor import Executor, OnReport
from actsearch.search.executors.guardian import Guardian
from actsearch.search.executors.interrupts import Interrupts
from actsearch.search.executors.resources import Devices, Resources
from actsearch.search.executors.server import start_server
from actsearch.search.executors.threads import threads_each
from actsearch.search.training import given
from actsearch.search.training.job import Job, Result


@dataclass(frozen=True)
class _Running:
    """A trial on its way."""

    key: int
    pipe: Connection
    child: BaseProcess
    start: float

    @property
    def is_orphan(self) -> bool:
        """Whether it lives on although the server that it was forked from has died."""
        if self.child.exitcode is None:
            return False
        assert self.child.pid is not None
        try:
            os.kill(self.child.pid, 0)
        except OSError:
            return False
        return True

    @property
    def ends(self) -> list[Connection | int]:
        """What tells of news."""
        # The process as well: what it has started may hold its pipe open beyond its death.
        return [self.pipe] if self.is_orphan else [self.pipe, self.child.sentinel]


class LocalExecutor(Executor):
    """Runs each job in a process of its own on this machine.

    It is forked from a server that has torch loaded.

    A trial's process ends with all that the training has started:
    :class:`~actsearch.search.executors.guardian.Guardian` says what that covers. While the executor
    is entered, a first SIGINT or SIGTERM ends the next :meth:`wait`, or the block, with
    :class:`KeyboardInterrupt`, and never the record in the middle of a write; a second one ends the
    process at once.

    Args:
        jobs: how many run at a time; each gets its share of the cores that this process may use,
            unless the environment (``OMP_NUM_THREADS``) has a number.
        timeout: seconds after which a trial is stopped; ``None`` for no limit.
        resources: threads and devices of each.

    Raises:
        InvalidValueError: the machine has too few devices for that.
    """

    def __init__(
        self, jobs: int = 1, timeout: float | None = None, resources: Resources | None = None
    ) -> None:
        self.jobs = jobs
        self.timeout = timeout
        self.resources = resources or Resources()
        self._devices = Devices(self.resources)
        self._devices.check(jobs)
        self._interrupts = Interrupts()
        self._running: list[_Running] = []
        self._killed: list[BaseProcess] = []
        self._guardian = Guardian()
        self._at_exit: util.Finalize | None = None
        start_server(jobs)
        self._context = multiprocessing.get_context("forkserver")

    def __enter__(self) -> Self:
        self._interrupts.hold()
        return self

    def __exit__(self, kind: object = None, *error: object) -> None:
        self.close()
        self._interrupts.release()
        if kind is None:
            self._interrupts.check()

    @override
    def submit(self, key: int, job: Job) -> None:
        ours, theirs = self._context.Pipe()
        arguments = (
            theirs,
            job.log or os.devnull,
            self.resources.cpus or threads_each(self.jobs, job.threads),
            self._devices.take(key, job),
        )
        # A daemonic process may have no children: no workers of loaders, no ranks.
        child = self._context.Process(target=run_child, args=arguments, daemon=False)
        # Where nobody closes this, the interpreter's end does, before it waits for the children.
        self._at_exit = self._at_exit or util.Finalize(None, self.close, exitpriority=10)
        self._fork(child)
        theirs.close()
        assert child.pid is not None
        # Before it knows what to train, and so before it has started anything.
        self._guardian.watch(child.pid)
        self._running.append(_Running(key, ours, child, time.monotonic()))
        with contextlib.suppress(OSError):  # it has died: the next wait says of what
            ours.send_bytes(job.dumps().encode())
            ours.send_bytes(self._objects(job))

    def _objects(self, job: Job) -> bytes:
        """Return what the user gave for a job in Python."""
        return given.dumps(job.paths)

    def _fork(self, child: BaseProcess) -> None:
        for left in reversed(range(20)):
            start_server(self.jobs)  # nothing where it runs
            try:
                with _without_main():
                    child.start()
                return
            except (OSError, EOFError):  # somebody has killed it, and it is about to end
                self._interrupts.check()
                if not left:
                    raise
                time.sleep(0.1)

    def wait(self, on_report: OnReport) -> list[tuple[int, Result]]:
        """Wait at most a quarter of a second for news."""
        self._interrupts.check()
        self._killed = [child for child in self._killed if child.is_alive()]
        ready = wait([end for trial in self._running for end in trial.ends], timeout=0.25)
        self._interrupts.check()  # which may have ended trainings as well
        ended = []
        for trial in list(self._running):
            late = self.timeout is not None and time.monotonic() - trial.start > self.timeout
            result = None
            if not set(trial.ends).isdisjoint(ready) or (late and trial.pipe.poll()):
                result = self._hear(trial, on_report)
            if late and result is None:
                result = Result(
                    "failed",
                    f"timeout: longer than {self.timeout:g} s",
                    seconds=self.timeout or 0.0,
                )
            if result is not None:
                self._end(trial)
                ended.append((trial.key, result))
        return ended

    def _hear(self, trial: _Running, on_report: OnReport) -> Result | None:
        """Take a trial's next message, and return its result where it has ended."""
        try:
            message = json.loads(trial.pipe.recv_bytes()) if trial.pipe.poll() else None
        except (EOFError, OSError):
            message = None
        if message is None:
            trial.child.join(timeout=5)
            return Result("failed", _death(trial.child.exitcode))
        if message["kind"] == "end":
            return Result.loads(message["result"])
        stop = on_report(trial.key, message["epoch"], message["metrics"])
        with contextlib.suppress(OSError):  # it has died: the next wait says of what
            trial.pipe.send_bytes(b"stop" if stop else b"go")
        return None

    def _end(self, trial: _Running) -> None:
        self._running.remove(trial)
        self._devices.give_back(trial.key)
        assert trial.child.pid is not None
        self._guardian.end(trial.child.pid)
        trial.child.kill()  # in case that it does not lead its session yet
        trial.pipe.close()
        self._killed.append(trial.child)  # it goes while the next trial starts

    def close(self) -> None:
        """Kill every running child, and wait until all are gone."""
        for trial in list(self._running):
            self._end(trial)
        while self._killed:
            self._killed.pop().join()
        self._guardian.close()
        if self._at_exit is not None:
            self._at_exit.cancel()
            self._at_exit = None


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Keep a child from importing the caller's script again.

    It needs nothing of it, and a script may lack a main guard.
    """
    main = sys.modules["__main__"]
    saved: dict[str, Any] = {
        name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__
    }
    main.__dict__["__spec__"] = None
    try:
        yield
    finally:
        main.__dict__.update(saved)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        # These are without most real-time signals.
        named = {number.value: f" ({number.name})" for number in signal.Signals}
        return f"killed: by signal {-code}{named.get(-code, '')}"
    return f"exited: the process ended with code {code}"
