"""Trainings in this process, one after the other."""

from __future__ import annotations

import functools
import signal
import threading

from actsearch.search.executors.executor import Executor, OnReport
from actsearch.search.training.job import Job, Result


class InlineExecutor(Executor):
    """Runs each trial in this process, for notebooks and debuggers."""

    in_this_process = True

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Job]] = []

    def submit(self, key: int, job: Job) -> None:
        """Keep the trial for the next :meth:`wait`."""
        self._waiting.append((key, job))

    def wait(self, on_report: OnReport) -> list[tuple[int, Result]]:
        """Run what was submitted."""
        from actsearch.search.training.train import run_job

        ended = []
        while self._waiting:
            key, job = self._waiting.pop(0)
            in_main_thread = threading.current_thread() is threading.main_thread()
            handler = signal.getsignal(signal.SIGINT)
            try:
                ended.append((key, run_job(job, functools.partial(on_report, key))))
            finally:
                if in_main_thread:  # Lightning ignores the signal after the first Ctrl-C
                    signal.signal(signal.SIGINT, handler)
        return ended

    def close(self) -> None:
        """Forget what was not run."""
        self._waiting.clear()
