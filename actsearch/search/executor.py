"""Where trials run: one interface, a specification in, an outcome out, reports and the pruning answer in between."""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

from actsearch.search.specification import Outcome, Specification

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
OnReport = Callable[[int, int, dict[str, float]], bool]
"""Called in the coordinator with (key, epoch, metrics); answers whether the trial must stop."""


class Executor(ABC):
    """Runs trials, and knows nothing of studies: the coordinator alone talks to Optuna and MLflow.

    Laws: every submitted key comes back exactly once from :meth:`wait`, whatever happens to the trial; a trial that
    fails, exits, is killed or hangs harms no other; :meth:`close` leaves no process behind.
    """

    @abstractmethod
    def submit(self, key: int, specification: Specification) -> None:
        """Start a trial under a key of the caller's choice."""

    @abstractmethod
    def wait(self, on_report: OnReport) -> list[tuple[int, Outcome]]:
        """Wait for news, pass reports on, and return the trials that ended; possibly none, soon."""

    @abstractmethod
    def close(self) -> None:
        """Stop everything that still runs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class InlineExecutor(Executor):
    """Runs each trial in this process, for notebooks and debuggers."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Specification]] = []

    def submit(self, key: int, specification: Specification) -> None:
        """Keep the trial for the next :meth:`wait`."""
        self._waiting.append((key, specification))

    def wait(self, on_report: OnReport) -> list[tuple[int, Outcome]]:
        """Run what was submitted."""
        from actsearch.search.trial import run_trial

        ended = []
        while self._waiting:
            key, specification = self._waiting.pop(0)
            in_main_thread = threading.current_thread() is threading.main_thread()
            handler = signal.getsignal(signal.SIGINT)
            try:
                ended.append((key, run_trial(specification, functools.partial(on_report, key))))
            finally:
                if in_main_thread:
                    signal.signal(signal.SIGINT, handler)  # Lightning ignores the signal after the first Ctrl-C
        return ended

    def close(self) -> None:
        """Forget what was not run."""
        self._waiting.clear()


def start_server() -> None:
    """Start the server that children are forked from, if none runs: it imports for seconds, while the caller does as well."""
    os.environ.setdefault(
        "GOMP_SPINCOUNT", "10000"
    )  # idle threads that spin for long starve others; none at all is slow
    forkserver.set_forkserver_preload(["actsearch.search.preload"])
    forkserver.ensure_running()


class LocalExecutor(Executor):
    """Runs each trial in a process of its own on this machine, forked from a server that has torch loaded.

    While it is entered, a first SIGINT or SIGTERM ends the next :meth:`wait` with :class:`KeyboardInterrupt`, and never
    the record in the middle of a write; a second one ends the process at once.

    Args:
        jobs: how many run at a time; each gets cores // jobs threads.
        timeout: seconds after which a trial is stopped; ``None`` for no limit.
    """

    def __init__(self, jobs: int = 1, timeout: float | None = None) -> None:
        self.timeout = timeout
        self._signal = 0
        self._handlers: dict[int, Any] = {}
        self._running: dict[Connection, tuple[int, BaseProcess, float]] = {}
        self._killed: list[BaseProcess] = []
        self._threads = max(1, (os.cpu_count() or 1) // jobs)
        for name in THREADS:
            os.environ[name] = str(self._threads)  # read once, when the server imports torch
        start_server()
        self._context = multiprocessing.get_context("forkserver")

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self._signal:
            os._exit(128 + number)
        self._signal = number

    def submit(self, key: int, specification: Specification) -> None:
        """Start a child for the trial."""
        ours, theirs = self._context.Pipe()
        arguments = (theirs, specification.log or os.devnull, self._threads)
        child = self._context.Process(target=_child, args=arguments, daemon=True)
        with _without_main():
            child.start()
        theirs.close()
        ours.send_bytes(specification.dumps().encode())
        self._running[ours] = (key, child, time.monotonic())

    def wait(self, on_report: OnReport) -> list[tuple[int, Outcome]]:
        """Wait at most a quarter of a second for news."""
        if self._signal:
            raise KeyboardInterrupt(128 + self._signal)
        self._killed = [child for child in self._killed if child.is_alive()]
        ended = []
        for pipe in wait(list(self._running), timeout=0.25):
            assert isinstance(pipe, Connection)
            key, child, _ = self._running[pipe]
            try:
                message = json.loads(pipe.recv_bytes())
                if message["kind"] == "report":
                    pipe.send_bytes(b"stop" if on_report(key, message["epoch"], message["metrics"]) else b"go")
                    continue
                outcome = Outcome.loads(message["outcome"])
            except (EOFError, OSError):
                child.join(timeout=5)
                outcome = Outcome("failed", _death(child.exitcode))
            self._forget(pipe)
            ended.append((key, outcome))
        if self.timeout is not None:
            for pipe, (key, _, start) in list(self._running.items()):
                if time.monotonic() - start > self.timeout:
                    self._forget(pipe)
                    ended.append(
                        (key, Outcome("failed", f"timeout: longer than {self.timeout:g} s", seconds=self.timeout))
                    )
        return ended

    def _forget(self, pipe: Connection) -> None:
        _, child, _ = self._running.pop(pipe)
        pipe.close()
        child.kill()
        self._killed.append(child)  # it goes while the next trial starts

    def close(self) -> None:
        """Kill every running child, and wait until all are gone."""
        for pipe in list(self._running):
            self._forget(pipe)
        while self._killed:
            self._killed.pop().join()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Keep a child from importing the caller's script again: it needs nothing of it, and a script may lack a main guard."""
    main = sys.modules["__main__"]
    saved: dict[str, Any] = {
        name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__
    }
    main.__dict__["__spec__"] = None
    try:
        yield
    finally:
        main.__dict__.update(saved)


def _child(pipe: Connection, log: str, threads: int) -> None:
    """Run one trial in a child process: its output into a file, its end with the coordinator's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the coordinator decides
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    specification = Specification.loads(pipe.recv_bytes())

    import torch

    from actsearch.search.trial import run_trial

    for name in THREADS:
        os.environ[name] = str(threads)  # the server may be an earlier executor's, with another number
    torch.set_num_threads(threads)
    answers: list[bool] = []
    news = threading.Condition()

    def listen() -> None:
        """Pass answers on, and die with the coordinator."""
        while True:
            try:
                answer = pipe.recv_bytes()
            except (EOFError, OSError):
                os._exit(1)
            with news:
                answers.append(answer == b"stop")
                news.notify()

    threading.Thread(target=listen, daemon=True).start()

    def report(epoch: int, metrics: dict[str, float]) -> bool:
        pipe.send_bytes(json.dumps({"kind": "report", "epoch": epoch, "metrics": metrics}).encode())
        with news:
            news.wait_for(lambda: bool(answers))
            return answers.pop()

    try:
        outcome = run_trial(specification, report)
    except BaseException:
        traceback.print_exc()
        raise
    pipe.send_bytes(json.dumps({"kind": "end", "outcome": outcome.dumps()}).encode())


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed: by signal {-code} ({signal.Signals(-code).name})"
    return f"exited: the process ended with code {code}"
