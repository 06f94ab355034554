"""Whether MLflow opens a study of 1,000 trials as fast as one of 100: ratios, in one run.

``python benchmarks/mirror.py`` makes two stores whose trials are made up, brings each over as
``actsearch sync`` does, and compares, in turns: the mirror's start, as at the beginning of a search
that goes on, and the answer of MLflow's server to the page that the study's link opens.
"""

from __future__ import annotations

import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, create_trial

from actsearch.placement import FoundSite, Placement, SiteEntry
from actsearch.search.study.config import LEARNING_RATE
from actsearch.search.study.record import PHASE, RESULT, StudyRun, open_study
from actsearch.search.study.resolve import study_config
from actsearch.search.study.store import Store
from actsearch.search.training.job import ModelInfo, Result
from actsearch.tracking.replica import Replica

SITES = [f"layers.{index}.activation" for index in range(4)]
CHOICES = ["relu", "gelu", "swish", "tanh", "elu"]
EPOCHS = 10
ROUNDS = 9


def made_up(number: int) -> FrozenTrial:
    """Return a trial as a search leaves it, with curves that nobody has trained."""
    draw = random.Random(number)
    chosen = {site: draw.choice(CHOICES) for site in SITES}
    placement = Placement(sites={s: SiteEntry(activation=name) for s, name in chosen.items()})
    curve = [
        (epoch, {"val_accuracy": draw.random(), "val_loss": draw.random(), "train_loss": 1.0})
        for epoch in range(EPOCHS)
    ]
    result = Result("complete", metrics=curve[-1][1], history=curve, seconds=1.0)
    return create_trial(
        params=chosen,
        distributions=dict.fromkeys(SITES, CategoricalDistribution(CHOICES)),
        value=curve[-1][1]["val_accuracy"],
        user_attrs={
            "placement": json.loads(placement.dumps()) if number else None,
            PHASE: "searched" if number else "baseline",
            LEARNING_RATE: 1.0,
            RESULT: result.record(),
        },
    )


def make(folder: Path, trials: int) -> StudyRun:
    """Make a store with one study of so many trials."""
    store = Store(folder)
    relu = {"activation": "relu", "parameters": {}}
    info = ModelInfo([FoundSite(site, "module", "relu", relu) for site in SITES], "fx")
    run = open_study(store, "s", study_config("classification", "rectifiers"), info)
    run.study.add_trials([made_up(number) for number in range(1, trials)])
    run.study.tell(run.study.ask().number, 0.5)  # the baseline, which waits since the beginning
    return StudyRun.load(store, "s")


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def pages(root: Path):  # noqa: ANN201  # a generator of addresses
    """Serve MLflow's pages of a store, as ``actsearch ui`` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"--store {root} --port {port}"
    command = [str(Path(sys.executable).parent / "actsearch"), "ui", *options.split()]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        try:
            yield address
        finally:
            process.terminate()


def first_page(address: str, experiment: str) -> None:
    """Ask the server for what the study's link shows first: a hundred runs, the best of them."""
    question = {
        "experiment_ids": [experiment],
        "filter": "tags.`actsearch.study` = 's'",
        "order_by": ["metrics.`val_accuracy` DESC"],
        "max_results": 100,
    }
    request = urllib.request.Request(
        f"{address}/ajax-api/2.0/mlflow/runs/search",
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert len(json.load(answer)["runs"]) >= 100


def compare(what: str, few: Callable[[], object], many: Callable[[], object]) -> None:
    """Print how much longer the larger store takes, in turns, without the first time of each."""
    few(), many()
    times = [(seconds(few), seconds(many)) for _ in range(ROUNDS)]
    small, large = (statistics.median(column) * 1e3 for column in zip(*times, strict=True))
    print(f"{what}: 100 trials {small:.0f} ms, 1,000 trials {large:.0f} ms: {large / small:.2f}x")


def main() -> None:
    """Print the ratios."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory() as folder:
        studies = {}
        for trials in (100, 1000):
            run = make(Path(folder) / str(trials), trials)
            start = time.process_time()
            replica = Replica(run)
            replica.connect(trusting=False)
            replica.close("FINISHED")
            spent = time.process_time() - start
            print(f"{trials} trials brought over: {spent * 1e3 / trials:.0f} ms of CPU each")
            studies[trials] = run, replica.experiment
        (few, experiment), (many, other) = studies[100], studies[1000]
        compare(
            "the mirror's start",
            lambda: Replica(few).connect(),
            lambda: Replica(many).connect(),
        )
        with pages(few.store.root) as small, pages(many.store.root) as large:
            compare(
                "the server's first page",
                lambda: first_page(small, experiment),
                lambda: first_page(large, other),
            )


if __name__ == "__main__":
    main()
