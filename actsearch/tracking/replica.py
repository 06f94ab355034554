"""A study's copy in MLflow: which runs are there, and how the missing ones are brought over."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from actsearch.placement import Placement
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.placement_file import BEST, CANDIDATE
from actsearch.search.study.record import StudyRun
from actsearch.tracking import source
from actsearch.tracking.client import make_client
from actsearch.tracking.confirmed import confirmation_runs
from actsearch.tracking.database import ARTIFACTS, create_database
from actsearch.tracking.lifecycle import rename_runs
from actsearch.tracking.parent import study_metrics, study_parameters, study_tags
from actsearch.tracking.runs import (
    STATES,
    TrainingRun,
    clean,
    key_of,
    trial_name,
    trial_run,
)

MIRRORED = "actsearch.mirrored"
"""The tag of a study's run that tells what has been brought over, all of it."""


class Replica:
    """A study's copy in MLflow: a run for it, and below that one for each training.

    Runs are found again by their tags, so that what was cut short is brought over and nothing is
    doubled. Every method may raise whatever MLflow raises; what it has not done then, :meth:`close`
    does, in this process or a later one.

    Args:
        run: the study, before this process trains anything.
        asked: how the search is run; ``None`` where nothing is trained in this process.

    Attributes:
        client: MLflow's, once it is connected.
        experiment: where the runs are.
        parent: the study's own run.
    """

    def __init__(self, run: StudyRun, asked: Mapping[str, Any] | None = None) -> None:
        self.run, self.asked = run, asked
        self.client: Any = None
        self.experiment = self.parent = ""
        self._runs: dict[str, tuple[str, str]] = {}
        self._before = self._states()
        self._source: dict[str, str] = {}
        self._data: list[Any] = []
        self._told: dict[str, float] = {}
        self._brought = 0.0

    def connect(self, trusting: bool = True) -> None:
        """Find the study's runs, or make its own.

        Args:
            trusting: whether a copy that calls itself complete is taken at its word.
        """
        if self.client is not None:
            return
        own = not os.environ.get("MLFLOW_TRACKING_URI")
        if own:
            create_database(self.run.store.root)
        client = make_client(self.run.store)
        self._source = source.caller() | (source.circumstances() if self.asked is not None else {})
        self._data = [source.dataset(self.run.config)]
        self.experiment = self._find_experiment(client, ARTIFACTS if own else None)
        found = self._find_parent(client)
        if trusting and found.data.tags.get(MIRRORED) == _digest(self._before):
            self._runs = {key: ("", state) for key, state in self._before.items()}
        else:
            self._runs = self._search(client)
        self._told = dict(found.data.metrics)
        client.update_run(self.parent, status="RUNNING")
        self.client = client

    def forget(self) -> None:
        """Look again at the next call: what MLflow has is not known after an error."""
        self.client, self._before = None, {}

    def begin(self, number: int, placement: Placement | None, when: int) -> None:
        """Make the run of a trial that has begun, or take up the one it has."""
        identity = {"actsearch.trial": str(number)}
        kind = "baseline" if placement is None else "trial"
        again = str(number) in self._runs
        run_id = self._open(trial_name(number, placement), kind, identity, when)
        if again:
            self.client.update_run(run_id, status="RUNNING")
            self.client.set_tag(run_id, "actsearch.state", "running")

    def end(self, trial: FrozenTrial) -> None:
        """Bring over a trial that has ended."""
        self._bring(trial_run(self.run, trial))

    def missing(self) -> int:
        """Return how many trials are not in MLflow as they are in the record."""
        return sum(self._state(str(t.number)) != STATES[t.state][0] for t in self.run.trials)

    def bring_confirmation(self) -> None:
        """Bring over the trainings of the confirmation, as far as it has come."""
        file = self.run.folder / "confirmation.json"
        written = file.stat().st_mtime if file.exists() else 0.0
        result = Confirmation.read(self.run) if written != self._brought else None
        for training in confirmation_runs(self.run, result) if result is not None else ():
            if self._state(key_of(training.identity)) != training.state:
                self._bring(training)
        self._brought = written

    def close(self, status: str) -> None:
        """Bring over what is missing, and the study's own summary, pictures and files."""
        for trial in self.run.trials:
            if self._state(str(trial.number)) != STATES[trial.state][0]:
                self.end(trial)
        self._brought = 0.0
        self.bring_confirmation()
        metrics = [(n, v, 0) for n, v in study_metrics(self.run).items() if self._told.get(n) != v]
        self._batch(self.client, self.parent, metrics, tags=study_tags(self.run))
        for name in (BEST, CANDIDATE, "confirmation.json"):
            if (self.run.folder / name).exists():
                self.client.log_artifact(self.parent, str(self.run.folder / name))
        for name in ("report", "confirmed"):
            if (self.run.folder / name).exists():
                self.client.log_artifacts(self.parent, str(self.run.folder / name), name)
        self.client.set_terminated(self.parent, status)
        # Last: by it a later process knows that nothing is missing.
        self.client.set_tag(self.parent, MIRRORED, _digest(self._states()))

    def _states(self) -> dict[str, str]:
        """Return how each training of the record ended, by what it is found again."""
        states = {str(trial.number): STATES[trial.state][0] for trial in self.run.trials}
        result = Confirmation.read(self.run)
        if result is not None:
            for training in confirmation_runs(self.run, result):
                states[key_of(training.identity)] = training.state
        return states

    def _state(self, key: str) -> str:
        return self._runs.get(key, ("", ""))[1]

    def _find_experiment(self, client: Any, artifacts: str | None) -> str:
        task = self.run.config.task
        experiment = client.get_experiment_by_name(task)
        if experiment is not None:
            return str(experiment.experiment_id)
        about = (
            f"Activation functions, searched in `{task}` by actsearch. A study is a run of the kind"
            " `study`, with the runs of its trainings below it (tag `actsearch.kind`: `baseline`,"
            " `trial`, `confirm`). One study alone: ``tags.`actsearch.study` = 'NAME'``."
        )
        created = client.create_experiment(
            task, artifact_location=artifacts, tags={"mlflow.note.content": about}
        )
        return str(created)

    def _find_parent(self, client: Any) -> Any:
        """Return the study's own run, with its parameters and where it comes from."""
        identity = self.run.study.user_attrs["actsearch.identity"]
        found = client.search_runs(
            [self.experiment], f"tags.`actsearch.identity` = '{identity}'", max_results=1
        )
        tags = {"actsearch.identity": identity, "actsearch.space": self.run.config.space}
        parent = (
            found[0]
            if found
            else client.create_run(
                self.experiment, run_name=self.run.name, tags=self._tags("study") | tags
            )
        )
        self.parent = str(parent.info.run_id)
        if parent.data.tags.get("actsearch.study", self.run.name) != self.run.name:
            rename_runs(client, [self.experiment], self.parent, self.run.name)
        told = study_parameters(self.run.config, self.asked or {})
        tags = self._source if self.asked is not None else {}  # of the last that trained
        # A parameter keeps its first value, in MLflow.
        new = {name: value for name, value in told.items() if clean(name) not in parent.data.params}
        self._batch(client, self.parent, parameters=new, tags=tags)
        client.log_inputs(self.parent, self._data)
        return parent

    def _search(self, client: Any) -> dict[str, tuple[str, str]]:
        """Return the runs of the study's trainings and their states."""
        runs: dict[str, tuple[str, str]] = {}
        token = None
        while True:
            page = client.search_runs(
                [self.experiment],
                f"tags.`mlflow.parentRunId` = '{self.parent}'",
                max_results=1000,
                page_token=token,
            )
            for child in page:
                # Earlier versions wrote the state before the run had its end.
                ended = child.info.status != "RUNNING"
                state = child.data.tags.get("actsearch.state", "") if ended else "running"
                key = key_of(child.data.tags)
                if key and runs.get(key, ("", "running"))[1] == "running":
                    runs[key] = child.info.run_id, state
            token = page.token
            if not token:
                return runs

    def _tags(self, kind: str) -> dict[str, str]:
        return self._source | {
            "actsearch.study": self.run.name,
            "actsearch.task": self.run.config.task,
            "actsearch.kind": kind,
        }

    def _open(self, name: str, kind: str, identity: Mapping[str, str], when: int) -> str:
        """Return the run of a training, a new one where there is none."""
        key = key_of(identity)
        run_id = self._runs.get(key, ("", ""))[0]
        if key in self._runs and not run_id:  # a complete copy was taken at its word
            self._runs |= self._search(self.client)
            run_id = self._runs[key][0]
        if not run_id:
            tags = {"mlflow.parentRunId": self.parent, "actsearch.state": "running", **identity}
            created = self.client.create_run(
                self.experiment, start_time=when, run_name=name, tags=self._tags(kind) | tags
            )
            run_id = str(created.info.run_id)
        self._runs[key] = run_id, "running"
        return run_id

    def _bring(self, training: TrainingRun) -> None:
        """Bring over a training, all of it or so that a later process sees that some is missing."""
        run_id = self._open(training.name, training.kind, training.identity, training.began)
        self.client.log_inputs(run_id, self._data)
        # A baseline's rate was not known when it began.
        named = {"mlflow.runName": training.name} if training.kind == "baseline" else {}
        self._batch(
            self.client,
            run_id,
            training.metrics,
            training.parameters,
            training.tags | named,
            training.ended,
        )
        if training.placement is not None:
            self.client.log_text(run_id, training.placement.dumps(), "placement.json")
        self.client.set_terminated(run_id, training.status, training.ended)
        # Last: by it a later process knows that nothing is missing.
        self.client.set_tag(run_id, "actsearch.state", training.state)
        self._runs[key_of(training.identity)] = run_id, training.state

    @staticmethod
    def _batch(
        client: Any,
        run_id: str,
        metrics: Sequence[tuple[str, float, int]] = (),
        parameters: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        when: int = 0,
    ) -> None:
        """Log all of these at once."""
        from mlflow.entities import Metric, Param, RunTag

        when = when or int(time.time() * 1000)
        client.log_batch(
            run_id,
            [Metric(clean(name), value, when, step) for name, value, step in metrics],
            [Param(clean(n), str(value)[:6000]) for n, value in (parameters or {}).items()],
            [RunTag(key, value) for key, value in (tags or {}).items()],
        )


def _digest(states: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(states, sort_keys=True).encode()).hexdigest()[:16]
