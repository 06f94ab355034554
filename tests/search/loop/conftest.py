"""Studies of a made-up model with one site, and an executor that scores in place of trainings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actsearch.placement import FoundSite
from actsearch.search.executors.executor import Executor
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.config import StudyConfig
from actsearch.search.study.record import open_study
from actsearch.search.study.store import Store
from actsearch.search.training.job import ModelInfo, Result


@dataclass
class Scripted(Executor):
    """Has a result by key at hand, and else one that gets better with every trial."""

    results: dict[int, Result] = field(default_factory=dict)
    jobs: dict = field(default_factory=dict)
    waiting: list = field(default_factory=list)
    closed: bool = False

    def submit(self, key, job):
        self.jobs[key] = job
        self.waiting.append(key)
        if job.folder:
            Path(job.folder).mkdir(parents=True, exist_ok=True)
            (Path(job.folder) / "weights.safetensors").touch()

    def wait(self, on_report):
        key = self.waiting.pop(0)
        better = Result("complete", metrics={"val_loss": 1 / (abs(key) + 1)})
        result = self.results.get(key, better)
        for step, metrics in result.history:
            on_report(key, step, metrics)
        return [(key, result)]

    def close(self):
        self.closed = True


@pytest.fixture
def scripted():
    return Scripted


@pytest.fixture
def study(tmp_path):
    """Open a study: its space, options that differ, and what the site requires."""

    def opened(activations=None, requires="", seen=None, **options):
        elu = {"relu": None, "elu": {"alpha": {"low": 0.5, "high": 2.0}}}
        space = SearchSpace(activations=activations or elu, granularity="layer")
        given = {
            "task": "own.Own",
            "objectives": ["val_loss:min"],
            "sampler": "random",
            "pruner": "none",
            "learning_rate": "fixed",
            "space_content": space.model_dump(mode="json"),
        }
        specification = {"activation": "relu", "parameters": {}}
        site = FoundSite("site", "module", "relu", specification, requires)
        config = StudyConfig.of({**given, **options})
        return open_study(Store(tmp_path), "s", config, ModelInfo([site], "fx", **(seen or {})))

    return opened
