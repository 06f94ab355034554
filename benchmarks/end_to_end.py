"""CPU seconds of a search until it is as good as 100 trials of a plain loop.

    OMP_NUM_THREADS=1 python benchmarks/end_to_end.py

One run each takes some ten minutes on two cores; Linux alone. The plain loop is Optuna's TPE and
Lightning, with the same candidates.

Every training has one thread, on either side; ours run two at a time.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import resource
import tempfile
import time
import warnings
from pathlib import Path

import lightning.pytorch as L
import optuna
from optuna.trial import FrozenTrial

from actsearch.placement import Placement, find_sites
from actsearch.run import run_search
from actsearch.search.loop.listener import Listener
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.config import Objective
from actsearch.search.training.train import quiet
from actsearch_tasks.classification import Classification

EPOCHS = 30
TRIALS = 100
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> float:
    """Return the CPU time of this process and everything that it started, ended or not."""
    parents: dict[int, tuple[int, float]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            parents[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / TICKS)
    found, wanted = 0.0, {os.getpid()}
    while wanted:
        started = {pid for pid, (parent, _) in parents.items() if parent in wanted}
        found += sum(parents[pid][1] for pid in started)
        wanted = started
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + found


def plain_loop(space: SearchSpace, seed: int, objective: Objective) -> tuple[float, list[float]]:
    """Return the CPU time of the plain loop, and the best score after each trial."""
    names = [candidate.name for candidate in space.candidates]
    best: list[float] = []

    def train(trial: optuna.Trial) -> float:
        L.seed_everything(0, verbose=False)
        task = Classification()
        Placement.uniform(trial.suggest_categorical("activation", names), find_sites(task)).apply(
            task
        )
        with tempfile.TemporaryDirectory() as folder:
            trainer = L.Trainer(
                max_epochs=EPOCHS,
                default_root_dir=folder,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(task)
        value = sign * float(trainer.callback_metrics[objective.metric])
        best.append(max([value, *best[-1:]]))
        return value

    begin, sign = cpu_seconds(), 1 if objective.mode == "max" else -1
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(train, n_trials=TRIALS)
    return cpu_seconds() - begin, best


class Clock(Listener):
    """Notes the CPU time and the best score, larger is better, after each trial."""

    def __init__(self, objective: Objective) -> None:
        self.sign = 1 if objective.mode == "max" else -1
        self.begin = cpu_seconds()
        self.course: list[tuple[float, float]] = []

    def trial_ended(self, trial: FrozenTrial) -> None:
        """Note it."""
        best = self.course[-1][1] if self.course else -math.inf
        value = self.sign * trial.values[0] if trial.values else -math.inf
        self.course.append((cpu_seconds() - self.begin, max(best, value)))


def main() -> None:
    """Print the ratio of CPU seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--trials", type=int, default=60, help="of our search")
    parser.add_argument("--objective", default="val_loss:min", help="METRIC:min or METRIC:max")
    parser.add_argument(
        "--learning-rate", default="fixed", help="of our search; the plain loop has the task's own"
    )
    options = parser.parse_args()
    objective = Objective.parse(options.objective)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    quiet()
    space = SearchSpace.load("expressions")
    for seed in range(options.seeds):
        theirs, scores = plain_loop(space, seed, objective)
        clock = Clock(objective)
        with tempfile.TemporaryDirectory() as folder:
            run_search(
                "classification",
                "expressions",
                trials=options.trials,
                objectives=[options.objective],
                learning_rate=options.learning_rate,
                config={"trainer.max_epochs": EPOCHS},
                seed=seed,
                jobs=2,
                store=folder,
                listeners=[clock],
            )
        reached = [(n, cpu) for n, (cpu, best) in enumerate(clock.course, 1) if best >= scores[-1]]
        print(
            f"seed {seed}: {TRIALS} trials of TPE reach {scores[-1]:.4f} in {theirs:.0f} s (first"
            " in trial ",
            end="",
        )
        print(f"{scores.index(scores[-1]) + 1}); ", end="")
        if reached:
            trials, cpu = reached[0]
            print(f"ours in {cpu:.0f} s, {trials} trials: {cpu / theirs:.2f} of it", flush=True)
        else:
            print(f"ours not in {options.trials} trials: {clock.course[-1][1]:.4f}", flush=True)


if __name__ == "__main__":
    main()
