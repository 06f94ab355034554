"""The study, mirrored in MLflow: in the background, never waited for, replayed when it can be."""

from __future__ import annotations

import importlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from optuna.trial import FrozenTrial
from typing_extensions import override

from actsearch.placement import Placement
from actsearch.search.loop.listener import Listener
from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store
from actsearch.tracking.client import tracking_uri
from actsearch.tracking.model import bring_winner
from actsearch.tracking.replica import Replica

PATIENCE = 20.0
"""Seconds that the end of a search waits for MLflow."""

PAUSE = 2.0
"""Seconds without an event after which the trainings of a confirmation are looked for."""


class Mirror(Listener):
    """Mirrors a study: a parent run for it, a child run for each training.

    Args:
        store: where the study lives.
        asked: how the search is run, which the study's own options do not tell.

    Attributes:
        uri: of MLflow's database or server.
        problem: why MLflow is behind; empty where it is not.
    """

    def __init__(self, store: Store, asked: Mapping[str, Any] | None = None) -> None:
        self.store, self.asked = store, asked or {}
        self.uri = tracking_uri(store)
        self.problem = ""
        self._queue: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()

    def load(self) -> None:
        """Import MLflow in the background.

        It takes seconds, which somebody who waits for a first training does not feel.
        """
        threading.Thread(target=_load, name="mlflow-import").start()

    @contextmanager
    def following(self, run: StudyRun) -> Iterator[None]:
        """Mirror a study for the time of the block, then bring over whatever is missing."""
        self.run = run
        self._replica = Replica(run, self.asked)
        worker = threading.Thread(target=self._work, daemon=True, name="mlflow-mirror")
        worker.start()
        state = "FAILED"
        try:
            yield
            state = "FINISHED"
        except KeyboardInterrupt:
            state = "KILLED"
            raise
        finally:
            self._queue.put(("close", state))
            self._queue.put(None)
            worker.join(PATIENCE)
            if worker.is_alive():
                self.problem = self.problem or _LATE

    def log_model(self) -> str:
        """Register the winner as a model, after the study was mirrored.

        Return what came of it.
        """
        if self.problem:
            return self.problem
        try:
            return bring_winner(self._replica, _in_time)
        except Exception as error:  # whatever MLflow raises
            self.problem = _told(error)
            return self.problem

    @override
    def trial_started(self, number: int, placement: Placement | None) -> None:
        self._queue.put(("start", number, placement, int(time.time() * 1000)))

    @override
    def trial_ended(self, trial: FrozenTrial) -> None:
        self._queue.put(("end", trial))

    def _work(self) -> None:
        while (event := self._next()) is not None:
            if self.problem and event[0] != "close":
                continue
            try:
                self._replica.connect()
                match event:
                    case ("start", number, placement, when):
                        self._replica.begin(number, placement, when)
                    case ("end", trial):
                        self._replica.end(trial)
                    case ("pause",):
                        self._replica.bring_confirmation()
                    case ("close", state):
                        self._replica.close(state)
                self.problem = ""
            except Exception as error:
                self._replica.forget()
                self.problem = _told(error)

    def _next(self) -> tuple[Any, ...] | None:
        try:
            return self._queue.get(timeout=PAUSE)
        except queue.Empty:
            return ("pause",)


_LATE = f"it did not answer within {PATIENCE:g} s"


def _in_time(work: Callable[[], Any]) -> Any:
    """Return what some work with MLflow comes to.

    Raises:
        TimeoutError: it takes longer than one waits for MLflow.
        Exception: what the work raises.
    """
    result: list[Any] = []
    failed: list[Exception] = []

    def attempt() -> None:
        try:
            result.append(work())
        except Exception as error:
            failed.append(error)

    worker = threading.Thread(target=attempt, daemon=True, name="mlflow-model")
    worker.start()
    worker.join(PATIENCE)
    if failed:
        raise failed[0]
    if not result:
        raise TimeoutError(_LATE)
    return result[0]


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _load() -> None:
    with suppress(ImportError):  # reported where MLflow is used
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
