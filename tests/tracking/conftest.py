"""Studies that have ended, with a winner, whose trainings were made up: no second is trained."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field

import pytest

from actsearch.placement import FoundSite
from actsearch.search.confirm.confirm import confirm_study
from actsearch.search.executors.executor import Executor
from actsearch.search.loop.coordinator import Coordinator
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.config import StudyConfig
from actsearch.search.study.record import StudyRun, open_study
from actsearch.search.study.store import Store
from actsearch.search.training.job import ModelInfo, Result

GAINS = {"own": 0.0, "relu": 0.0, "elu": 0.2, "tanh": 1.0}
"""What an activation takes off the loss; a threefold learning rate takes half as much as elu."""


@dataclass
class MadeUp(Executor):
    """Has a loss by activation, learning rate and seed at hand, in place of trainings."""

    waiting: list = field(default_factory=list)

    def submit(self, key, job):
        sites = job.placement.sites if job.placement else {}
        name = next(iter(sites.values())).activation if sites else "own"
        luck = random.Random(f"{name} {job.seed}").gauss(0, 0.05)
        loss = 3.0 - GAINS[name] - 0.1 * (1 < job.learning_rate_factor < 4) + luck
        metrics = {"val_loss": loss, "test_loss": loss}
        history = [(0, {"val_loss": loss + 1}), (1, {"val_loss": loss})]
        self.waiting.append((key, Result("complete", metrics=metrics, history=history)))

    def wait(self, on_report):
        return [self.waiting.pop(0)]

    def close(self):
        self.waiting.clear()


def search(root, name="s", trials=12, **options):
    """Make a study of so many trials in a store, and confirm its best."""
    space = SearchSpace(activations={"relu": None, "elu": None, "tanh": None})
    given = {
        "task": "own.Own",
        "config": {"task": {"width": 8, "lr": 0.01}, "trainer": {"max_epochs": 2}},
        "objectives": ["val_loss:min"],
        "test_metric": "test_loss",
        "sampler": "random",
        "pruner": "none",
        "space": "space.yaml",
        "space_content": space.model_dump(mode="json"),
        "measures": {},
    }
    relu = {"activation": "relu", "parameters": {}}
    sites = [FoundSite(f"net.{index}", "module", "relu", relu) for index in (1, 3)]
    store, executor = Store(root), MadeUp()
    info = ModelInfo(sites, "fx", has_test=True)
    with store.owned(name):
        run = open_study(store, name, StudyConfig.of(given | options), info)
        Coordinator(run, executor, 1, []).search(trials)
        confirm_study(run, executor, top=2, seeds=3)
    return run


@pytest.fixture(scope="session")
def searched_once(tmp_path_factory):
    root = tmp_path_factory.mktemp("searched") / "store"
    search(root)
    return root


@pytest.fixture
def searched(searched_once, tmp_path):
    """A study that has ended with a winner, in a store of the test's own; MLflow has none of it."""
    shutil.copytree(searched_once, tmp_path / "store")
    return StudyRun.load(Store(tmp_path / "store"), "s")
