"""Searches that are ended from outside, and what stands in their stores."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState

from actsearch.errors import ActsearchError
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.record import StudyRun, counts, phase_of, result_of
from actsearch.search.study.store import Store
from actsearch.tracking.runs import STATES

from .remains import left, marked

ACTSEARCH = str(Path(sys.executable).parent / "actsearch")
LOCKS = {".owner.lock", ".create.lock"}
PATIENCE = 300
"""Seconds that a command may take."""


@dataclass(frozen=True)
class Search:
    """The command of a search in a store of its own.

    Args:
        folder: where it is called.
        store: name of its store there.
        options: of the command.
        trials: that it asks for.
        study: its name.
        record: URL of a record elsewhere.
        before: words before the command, and what is in its environment beside ours.
    """

    folder: Path
    store: str
    options: str
    trials: int
    study: str = "s"
    record: str = ""
    before: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def root(self) -> Path:
        return self.folder / self.store

    @property
    def arguments(self) -> list[str]:
        """Of ``actsearch``."""
        line = f"search own.Own --space rectifiers --study {self.study} --trials {self.trials}"
        place = ["--store", self.store, *(["--record", self.record] if self.record else [])]
        return [*line.split(), *self.options.split(), *place]

    def start(self) -> subprocess.Popen[str]:
        """Start it in a process group of its own, as a shell does."""
        return subprocess.Popen(
            [*self.before, ACTSEARCH, *self.arguments],
            cwd=self.folder,
            env=os.environ | {"MARK": str(self.root)} | dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> float:
        """Run it to its end, and return the seconds that took."""
        begin = time.monotonic()
        process = self.start()
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        return time.monotonic() - begin

    def survivors(self) -> set[int]:
        """Return what it has started and nobody has ended, after a moment."""
        return left(lambda: marked(f"MARK={self.root}"))

    def temporaries(self) -> list[str]:
        """Return the files and folders that were to be there for a moment."""
        return [str(path) for path in self.root.rglob(".*") if path.name not in LOCKS]

    def ended(self) -> int:
        """Return how many trials have ended, cheaply enough to be asked many times a second."""
        if self.record:
            return sum(trial.state.is_finished() for trial in self.trials_now())
        if not (self.root / "optuna.db").exists():
            return 0
        uri = f"file:{self.root / 'optuna.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            try:
                ((number,),) = database.execute(
                    "SELECT COUNT(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED', 'FAIL')"
                )
            except sqlite3.OperationalError:  # the tables are just being made
                return 0
            return int(number)

    def trials_now(self) -> list[FrozenTrial]:
        """Return the record's trials; none where there is no study yet."""
        try:
            return StudyRun.load(Store(self.root, self.record), self.study).trials
        except ActsearchError:
            return []

    def told(self) -> dict[int, tuple[TrialState, list[float] | None]]:
        """Return how each trial has ended that has."""
        return {t.number: (t.state, t.values) for t in self.trials_now() if t.state.is_finished()}

    def wrong(self) -> dict[str, int]:
        """Return what is not as it must be after a whole search, counted."""
        trials, runs = self.trials_now(), self.mirrored()
        wanted = Counter((str(t.number), STATES[t.state][1]) for t in trials)
        children = Counter(
            (run["actsearch.trial"], run["status"])
            for run in runs
            if run["actsearch.kind"] in ("baseline", "trial")
        )
        parents = sum(run["actsearch.kind"] == "study" for run in runs)
        return {
            "RUNNING": sum(not t.state.is_finished() for t in trials),
            "doubled": len(trials) - len({t.number for t in trials}),
            "too many or few": abs(sum(map(counts, trials)) - self.trials),
            "missing in MLflow": (wanted - children).total(),
            "doubled in MLflow": (children - wanted).total() + parents - 1,
            "RUNNING in MLflow": sum(run["status"] == "RUNNING" for run in runs),
            "temporary files": len(self.temporaries()),
            "processes": len(self.survivors()),
        }

    def mirrored(self) -> list[dict[str, str]]:
        """Return the tags of MLflow's runs, with their status."""
        client = MlflowClient(f"sqlite:///{self.root / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("own.Own").experiment_id
        runs = client.search_runs([experiment], max_results=1000)
        return [run.data.tags | {"status": run.info.status} for run in runs]

    def outcome(self) -> list[str]:
        """Return what a search has come to, without what a clock says."""
        run = StudyRun.load(Store(self.root, self.record), self.study)
        confirmed = Confirmation.read(run)
        trials = [
            (
                *(t.number, t.state, phase_of(t), t.params, t.values, t.intermediate_values),
                replace(result_of(t), seconds=0.0, cpu=0.0),
            )
            for t in run.trials
        ]
        return [repr(confirmed and replace(confirmed, cpu=0.0)), *map(repr, trials)]
