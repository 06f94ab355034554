"""The study, mirrored in MLflow: in the background, never waited for, replayed when it can be."""

from __future__ import annotations

import importlib
import logging
import math
import os
import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from typing_extensions import override

from actsearch.placement import Placement
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.loop.listener import Listener
from actsearch.search.study.placement_file import BEST, CANDIDATE
from actsearch.search.study.record import StudyRun, result_of
from actsearch.search.study.store import Store
from actsearch.tracking.database import create_database
from actsearch.tracking.model import log_best_model
from actsearch.tracking.report import summary

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")

STATES = {
    TrialState.COMPLETE: ("complete", "FINISHED"),
    TrialState.PRUNED: ("pruned", "FINISHED"),
    TrialState.FAIL: ("failed", "FAILED"),
    TrialState.RUNNING: ("running", "RUNNING"),
    TrialState.WAITING: ("stopped", "KILLED"),
}
PATIENCE = 20.0


def tracking_uri(store: Store) -> str:
    """Return where the mirror is: ``MLFLOW_TRACKING_URI``, or the store's own database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store.root / 'mlflow.db'}"


class Mirror(Listener):
    """Mirrors a study: a parent run for it, a child run for each trial, found again by their tags.

    Args:
        store: where the study lives.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.uri = tracking_uri(store)
        self.problem = ""
        self._queue: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._client: Any = None
        self._experiment = ""
        self._parent = ""
        self._runs: dict[int, tuple[str, str]] = {}

    def load(self) -> None:
        """Import MLflow in the background.

        It takes seconds, which somebody who waits for a first training does not feel.
        """
        threading.Thread(target=_load, name="mlflow-import").start()

    @contextmanager
    def following(self, run: StudyRun) -> Iterator[None]:
        """Mirror a study for the time of the block, then bring over whatever is missing."""
        self.run = run
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
                self.problem = self.problem or f"it did not answer within {PATIENCE:g} s"

    def log_model(self) -> str:
        """Log the confirmed best as a model, after the study was mirrored.

        Return what came of it.
        """
        return self.problem or log_best_model(self.run, self.uri, self._parent)

    @override
    def trial_started(self, number: int, placement: Placement | None) -> None:
        self._queue.put(("start", number, placement, int(time.time() * 1000)))

    @override
    def trial_ended(self, trial: FrozenTrial) -> None:
        self._queue.put(("end", trial))

    def _work(self) -> None:
        while (event := self._queue.get()) is not None:
            if self.problem and event[0] != "close":
                continue
            try:
                self._connect()
                match event:
                    case ("start", number, placement, when):
                        self._begin(number, placement, when)
                    case ("end", trial):
                        self._finish(trial)
                    case ("close", state):
                        self._close(state)
                self.problem = ""
            except Exception as error:
                self.problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

    def sync(self, run: StudyRun) -> int:
        """Bring over what is missing, in this thread, and return how many trials were.

        Raises:
            Exception: whatever MLflow raises.
        """
        self.run = run
        self._connect()
        missing = [
            t for t in run.trials if self._runs.get(t.number, ("", ""))[1] != STATES[t.state][0]
        ]
        self._close("FINISHED")
        return len(missing)

    def _connect(self) -> None:
        if self._client is not None:
            return
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        # It shows what it raises as well, with a traceback; :attr:`problem` tells it in one line.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        artifacts = None
        if self.uri.startswith("sqlite:///") and not os.environ.get("MLFLOW_TRACKING_URI"):
            create_database(self.store.root)
            artifacts = (self.store.root / "artifacts").as_uri()
        client = MlflowClient(tracking_uri=self.uri)
        task = self.run.config.task
        experiment = client.get_experiment_by_name(task)
        self._experiment = (
            experiment.experiment_id
            if experiment
            else client.create_experiment(task, artifact_location=artifacts)
        )
        identity = self.run.study.user_attrs["actsearch.identity"]
        found = client.search_runs(
            [self._experiment], f"tags.`actsearch.identity` = '{identity}'", max_results=1
        )
        self._parent = found[0].info.run_id if found else self._create_parent(client, identity)
        token = None
        while True:
            page = client.search_runs(
                [self._experiment],
                f"tags.`mlflow.parentRunId` = '{self._parent}'",
                max_results=1000,
                page_token=token,
            )
            for child in page:
                # Earlier versions wrote the state before the run had its end.
                ended = child.info.status != "RUNNING"
                state = child.data.tags["actsearch.state"] if ended else "running"
                self._runs[int(child.data.tags["actsearch.trial"])] = (child.info.run_id, state)
            token = page.token
            if not token:
                break
        client.update_run(self._parent, status="RUNNING")
        self._client = client

    def _create_parent(self, client: Any, identity: str) -> str:
        config = self.run.config
        tags = {
            "actsearch.identity": identity,
            "actsearch.study": self.run.name,
            "actsearch.task": config.task,
            "actsearch.kind": "study",
            "actsearch.space": config.space,
        }
        parent: str = client.create_run(
            self._experiment, run_name=self.run.name, tags=tags
        ).info.run_id
        from actsearch.search.study.config import flat

        parameters = {
            "space": config.space,
            "sampler": config.sampler,
            "pruner": config.pruner,
            "seed": config.seed,
        } | flat(config.config)
        client.log_batch(parent, params=_parameters(parameters))
        return parent

    def _begin(self, number: int, placement: Placement | None, when: int) -> str:
        if number in self._runs:
            run_id = self._runs[number][0]
            self._client.update_run(run_id, status="RUNNING")
            self._client.set_tag(run_id, "actsearch.state", "running")
        else:
            tags = {
                "mlflow.parentRunId": self._parent,
                "actsearch.study": self.run.name,
                "actsearch.task": self.run.config.task,
                "actsearch.kind": "baseline" if placement is None else "trial",
                "actsearch.trial": str(number),
                "actsearch.state": "running",
            }
            for site, entry in (placement.sites if placement else {}).items():
                tags[f"actsearch.site.{_clean(site)}"] = entry.activation[:500]
            label = "baseline" if placement is None else f"trial {number:05d}"
            run_id = self._client.create_run(
                self._experiment, start_time=when, run_name=label, tags=tags
            ).info.run_id
        self._runs[number] = (run_id, "running")
        return str(run_id)

    def _finish(self, trial: FrozenTrial) -> None:
        from mlflow.entities import Metric, RunTag

        placement = self.run.placement(trial)
        began = (
            int(trial.datetime_start.timestamp() * 1000)
            if trial.datetime_start
            else int(time.time() * 1000)
        )
        if trial.number not in self._runs:
            self._begin(trial.number, placement, began)
        run_id = self._runs[trial.number][0]
        state, status = STATES[trial.state]
        ended = (
            int(trial.datetime_complete.timestamp() * 1000)
            if trial.datetime_complete
            else int(time.time() * 1000)
        )
        recorded = result_of(trial)
        metrics = [
            Metric(_clean(name), value, ended, epoch)
            for epoch, values in recorded.history
            for name, value in values.items()
        ]
        shown = recorded.history[-1][1] if recorded.history else {}
        # What counts may be another epoch's value, or the mean over several seeds: it stands last.
        metrics += [
            Metric(_clean(name), value, ended, len(recorded.history))
            for name, value in recorded.metrics.items()
            if shown.get(name) != value
        ]
        metrics += [
            Metric(f"{_clean(name)}.seed_{seed}", value, ended, epoch)
            for name, curves in recorded.curves.items()
            for seed, curve in enumerate(curves)
            for (epoch, _), value in zip(recorded.history, curve, strict=True)
        ]
        metrics += [
            Metric(f"{_clean(name)}.std", v, ended, 0) for name, v in recorded.spread.items()
        ]
        metrics.append(Metric("seconds", recorded.seconds, ended, 0))
        tags = [RunTag("actsearch.reason", recorded.reason[:5000])] if recorded.reason else []
        self._client.log_batch(run_id, metrics=metrics, params=_parameters(trial.params), tags=tags)
        if placement is not None:
            self._client.log_text(run_id, placement.dumps(), "placement.json")
        self._client.set_terminated(run_id, status, ended)
        # Last: by it a later process knows that nothing is missing.
        self._client.set_tag(run_id, "actsearch.state", state)
        self._runs[trial.number] = (run_id, state)

    def _close(self, state: str) -> None:
        """Bring over what is missing, and the study's own summary, pictures and files."""
        for trial in self.run.trials:
            if self._runs.get(trial.number, ("", ""))[1] != STATES[trial.state][0]:
                self._finish(trial)
        self._client.set_tag(self._parent, "mlflow.note.content", summary(self.run)[:8000])
        for metric, value in _headline(self.run).items():
            self._client.log_metric(self._parent, metric, value)
        self._tell_verdict()
        for name in (BEST, CANDIDATE, "confirmation.json"):
            if (self.run.folder / name).exists():
                self._client.log_artifact(self._parent, str(self.run.folder / name))
        for name in ("report", "confirmed"):
            if (self.run.folder / name).exists():
                self._client.log_artifacts(self._parent, str(self.run.folder / name), name)
        self._client.set_terminated(self._parent, state)

    def _tell_verdict(self) -> None:
        """Let a list of studies be sorted by what was confirmed."""
        result = Confirmation.read(self.run)
        confirmed = result is not None and bool(result.comparisons)
        verdict = result.outcome if result is not None and confirmed else "not confirmed"
        self._client.set_tag(self._parent, "actsearch.verdict", verdict)
        if result is not None and confirmed:
            c = result.winner[1]
            for name, value in (("gain", c.gain), ("low", c.low), ("high", c.high), ("p", c.p)):
                if math.isfinite(value):
                    self._client.log_metric(self._parent, f"confirmed.{name}", value)


def _load() -> None:
    with suppress(ImportError):  # reported where MLflow is used
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")


def _headline(run: StudyRun) -> dict[str, float]:
    """Return the numbers that a list of studies is sorted by."""
    ranked = run.ranked()
    if not ranked:
        return {}
    first = _clean(run.config.goals[0].metric)
    numbers = {f"best.{first}": ranked[0].values[0], "trials": float(len(run.trials))}
    return numbers | ({f"baseline.{first}": run.baseline.values[0]} if run.baseline else {})


def _clean(name: str) -> str:
    """Return a name that MLflow accepts."""
    return re.sub(r"[^\w\-. /:]", "_", name)[:250]


def _parameters(values: dict[str, Any]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(_clean(name), str(value)[:6000]) for name, value in values.items()]
