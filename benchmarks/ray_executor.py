"""What Ray costs a search, and whether workers add up: ratios, in one run.

``python benchmarks/ray_executor.py fixed`` runs a small search with the local executor and on a Ray
cluster of its own, in turns. ``scale`` runs trainings that sleep on 1, 2, 4 and 8 workers of one
pretended core each.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from actsearch.search.executors.laws import Tiny, tiny_job
from actsearch.search.executors.ray import RayExecutor
from actsearch.search.executors.ray_cluster import connected
from actsearch.search.executors.ray_options import RayOptions
from actsearch.search.executors.resources import Resources
from actsearch.search.training.job import Job

ACTSEARCH = str(Path(sys.executable).parent / "actsearch")
SEARCH = "search classification --trials 6 --confirm 0 --quiet --sampler random"
ROUNDS = 3
SLEEP = 10.0
WORKERS = (1, 2, 4, 8)
EACH = 4
"""Trainings of each worker that count, after one that does not."""


class Sleeper(Tiny):
    """A training that sleeps, once."""

    def on_train_start(self) -> None:
        """Sleep."""
        time.sleep(SLEEP)


def fixed() -> None:
    """Wall time of a small search on Ray against the local executor."""
    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    for _ in range(ROUNDS):
        for executor, found in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                begin = time.monotonic()
                subprocess.run(
                    [ACTSEARCH, *SEARCH.split(), "--executor", executor, "--store", folder],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                found.append(time.monotonic() - begin)
    local, ray = (statistics.median(seconds[name]) for name in ("local", "ray"))
    print(
        f"a search of 6 trials on Ray against local: {ray / local:.2f}x, {ray - local:+.1f} s"
        f" ({ray:.1f} s / {local:.1f} s, median of {ROUNDS})"
    )


def sleeping() -> Job:
    """Return the job of a training that sleeps."""
    job = tiny_job()
    return Job("ray_executor.Sleeper", job.config, job.objectives, threads=1)


def rate(workers: int) -> float:
    """Return the trainings a minute of so many workers, each with a training at all times."""
    job, ended, begin = sleeping(), 0, 0.0
    total = workers * (1 + EACH)
    with RayExecutor(workers, resources=Resources(cpus=1)) as executor:
        for key in range(workers):
            executor.submit(key, job)
        submitted = workers
        while ended < total:
            for _, result in executor.wait(lambda *_: False):
                assert result.state == "complete", result.reason
                ended += 1
                if ended == workers:  # each has started what it needs
                    begin = time.monotonic()
                if submitted < total:
                    executor.submit(submitted, job)
                    submitted += 1
    return 60 * (total - workers) / (time.monotonic() - begin)


def scale() -> None:
    """Trainings a minute of 1, 2, 4 and 8 workers, against as many times the first."""
    first = 0.0
    with connected(RayOptions(), cpus=max(WORKERS)):
        for workers in WORKERS:
            found = rate(workers)
            first = first or found
            print(
                f"{workers} workers: {found:.1f} trainings of {SLEEP:g} s a minute,"
                f" {found / first / workers:.2f} of {workers} times one worker",
                flush=True,
            )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    {"fixed": fixed, "scale": scale}[sys.argv[1]]()
