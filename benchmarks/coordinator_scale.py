"""What one coordinator can serve: a study of 10,000 trials on 500 workers, simulated.

``python benchmarks/coordinator_scale.py --trials 10000 --workers 500`` runs a search whose
trainings sleep on a clock of their own: they report, are pruned and end in the order of that clock,
while the coordinator, its record in SQLite and the mirror are the real ones and take real time. It
prints CPU time of a trial, memory, and the rate at which the coordinator would be saturated, over
the trials since the line before; ``--profile`` prints where the time of the last ones went.
"""

from __future__ import annotations

import argparse
import cProfile
import heapq
import math
import pstats
import random
import resource
import tempfile
import time
from pathlib import Path

import optuna

from actsearch.run import run_search
from actsearch.search.executors.executor import Executor, OnReport
from actsearch.search.loop.listener import Listener
from actsearch.search.loop.survey import SURVEY
from actsearch.search.training.job import Job, Result
from actsearch.search.training.train import run_job

EPOCHS = 10
LINES = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)


class Simulated(Executor):
    """Trainings that sleep on a clock of their own, and report as real ones do.

    Args:
        seconds: of a training, on average; they differ by up to half of that.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.clock = 0.0
        self.busy = 0.0
        self._events: list[tuple[float, int, int]] = []
        self._begun: dict[int, tuple[float, float]] = {}
        self._seen: list[tuple[int, Result]] = []

    def submit(self, key: int, job: Job) -> None:
        """Begin a training; look at the model for real."""
        if key == SURVEY:
            self._seen.append((key, run_job(job, lambda *_: False)))
            return
        takes = self.seconds * random.Random(key).uniform(0.5, 1.5)
        self._begun[key] = self.clock, takes
        heapq.heappush(self._events, (self.clock + takes / EPOCHS, key, 1))

    def wait(self, on_report: OnReport) -> list[tuple[int, Result]]:
        """Let the next thing happen."""
        if self._seen or not self._events:
            seen, self._seen = self._seen, []
            return seen
        self.clock, key, epoch = heapq.heappop(self._events)
        begin, takes = self._begun[key]
        metrics = _metrics(key, epoch)
        stop = on_report(key, epoch - 1, metrics)
        if epoch < EPOCHS and not stop:
            heapq.heappush(self._events, (begin + takes * (epoch + 1) / EPOCHS, key, epoch + 1))
            return []
        del self._begun[key]
        self.busy += self.clock - begin
        history = [(index, _metrics(key, index + 1)) for index in range(epoch)]
        state = "pruned" if stop else "complete"
        return [(key, Result(state, "pruned" * stop, metrics=metrics, history=history))]

    def close(self) -> None:
        """Forget the rest."""
        self._events.clear()
        self._begun.clear()


def _metrics(key: int, epoch: int) -> dict[str, float]:
    best = 0.5 + 0.4 * random.Random(key).random()
    reached = best * (1 - math.exp(-epoch / 3))
    return {"val_accuracy": reached, "val_loss": 1 - reached, "train_loss": 1 - reached}


class Meter(Listener):
    """Prints what the trials since the last line have cost.

    Args:
        workers: that the coordinator serves.
        last: the last line's trial, before which a profile begins where one is asked for.
        profile: which is asked for.
    """

    def __init__(self, workers: int, last: int, profile: cProfile.Profile | None) -> None:
        self.workers, self.last, self.profile = workers, last, profile
        self.ended = 0
        self._before = 0, time.monotonic(), time.thread_time(), time.process_time()

    def trial_ended(self, trial: optuna.trial.FrozenTrial) -> None:
        """Count, and print at the lines."""
        self.ended += 1
        if self.profile is not None and self.ended == max(1, self.last - 200):
            self.profile.enable()
        if self.ended not in (*LINES, self.last):
            return
        count, *times = self._before
        now = self.ended, time.monotonic(), time.thread_time(), time.process_time()
        self._before = now
        new = self.ended - count
        wall, coordinator, process = (
            (a - b) / max(1, new) for a, b in zip(now[1:], times, strict=True)
        )
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{self.ended:6d} trials: {1000 * coordinator:.0f} ms of CPU a trial, with the mirror"
            f" {1000 * process:.0f} ms, wall {1000 * wall:.0f} ms; {60 / wall:.0f} trials a minute"
            f" at most, so {self.workers} workers are served where a training takes"
            f" {self.workers * wall:.0f} s; {memory:.0f} MB",
            flush=True,
        )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=600.0, help="of a training, simulated")
    parser.add_argument("--sampler", default="function_space")
    parser.add_argument("--store", default="", help="folder of the store, which is kept")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    profile = cProfile.Profile() if options.profile else None
    executor = Simulated(options.seconds)
    meter = Meter(options.workers, options.trials, profile)
    with tempfile.TemporaryDirectory() as folder:
        run_search(
            "classification",
            "general",
            executor=executor,
            listeners=[meter],
            trials=options.trials,
            jobs=options.workers,
            confirm=0,
            sampler=options.sampler,
            store=Path(options.store or folder),
            study="simulated",
        )
    print(
        f"workers busy: {executor.busy / (executor.clock * options.workers):.0%} of"
        f" {executor.clock / 3600:.1f} simulated hours"
    )
    if profile is not None:
        profile.disable()
        pstats.Stats(profile).sort_stats("cumulative").print_stats("actsearch|optuna", 40)


if __name__ == "__main__":
    main()
