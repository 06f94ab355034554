"""Trials in processes of their own: threads, what the server has loaded, nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actsearch.search.executor import LocalExecutor
from actsearch.search.plan import Objective, Plan
from actsearch.search.specification import Outcome, Specification
from actsearch.search.target import Target

CURIOUS = """
import gc, sys
import torch
import own

class Curious(own.Own):
    def validation_step(self, batch, index):
        super().validation_step(batch, index)
        self.log("threads", float(torch.get_num_threads()))
        self.log("frozen", float(gc.get_freeze_count()))
        self.log("loaded", float("sklearn.datasets" in sys.modules))
"""


@pytest.fixture
def specification(own: Path) -> Specification:
    (own / "curious.py").write_text(CURIOUS)
    config = Target.resolve("own.Own").configure({"trainer.max_epochs": 1})
    plan = Plan("curious.Curious", config, "space.yaml", {}, (Objective("val_loss", "min"),), "test_loss")
    return plan.specification(None)


def run(executor: LocalExecutor, specification: Specification) -> Outcome:
    executor.submit(0, specification)
    while not (ended := executor.wait(lambda *_: False)):
        pass
    return ended[0][1]


def test_threads_and_preload(specification):
    cores = os.cpu_count() or 1
    for jobs in (1, cores):  # one server serves both, and must not hand the first one's threads on
        with LocalExecutor(jobs) as executor:
            metrics = run(executor, specification).metrics
        assert metrics["threads"] == cores // jobs
    assert metrics["loaded"] == 1, "the server must have loaded what tasks need"
    assert metrics["frozen"] > 0, "the server's objects must be out of the children's garbage collection"


def test_close_waits_for_killed_children(specification):
    with LocalExecutor() as executor:
        executor.submit(0, specification)
        ((_, child, _),) = executor._running.values()
    assert not Path(f"/proc/{child.pid}").exists() or sys.platform != "linux"
    assert child.exitcode is not None


def test_everything_preloaded_exists():
    # The server ignores an ImportError, and each trial would quietly pay for it.
    subprocess.run([sys.executable, "-c", "import actsearch.search.preload"], check=True, timeout=120)
