"""What a search costs beyond the training itself; ratios, in one run.

``python benchmarks/overhead.py`` runs all; ``trial``, ``stub``, ``proposal`` or ``peer`` as an
argument one of them, ``stub`` and ``peer`` with a number of trials if wanted, ``proposal`` with
numbers of sites and of trials: ``peer 100``, ``proposal 50 300``. Begin the line with
``OMP_NUM_THREADS=1``: threads that wait for each other count as CPU time, most on a busy machine.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import optuna
import torch
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from actsearch import FunctionSpaceSampler
from actsearch.activations.expression.generate import pool
from actsearch.placement import Placement, SiteEntry, find_sites
from actsearch.search.executors.executor import Executor, OnReport
from actsearch.search.loop.coordinator import Coordinator
from actsearch.search.loop.listener import Listener
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.record import open_study
from actsearch.search.study.resolve import study_config
from actsearch.search.study.store import Store
from actsearch.search.training.job import Job, ModelInfo, Result
from actsearch.search.training.train import quiet, run_job
from actsearch.tracking.mirror import Mirror
from actsearch_tasks.classification import Classification

EPOCHS = 10
CANDIDATES = ["relu", "leaky_relu", "identity"]


def bare_loop() -> float:
    """Run the same training as a plain loop: model, data, optimiser, validation each epoch."""
    torch.manual_seed(0)
    task = Classification()
    task.trainer = None
    optimizer = torch.optim.AdamW(
        task.parameters(), lr=task.hparams.get("lr", 1e-3), weight_decay=1e-2, fused=True
    )
    train, validation = task.train_dataloader(), task.val_dataloader()
    start = time.perf_counter()
    for _ in range(EPOCHS):
        for x, y in train:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(task(x), y).backward()
            optimizer.step()
        with torch.inference_mode():
            for x, y in validation:
                (task(x).argmax(1) == y).float().mean()
    return time.perf_counter() - start


def trial() -> None:
    """Overhead of one trial, build and report included, beyond the bare loop on the same work."""
    quiet()
    job = study_config("classification", config={"trainer.max_epochs": EPOCHS}).job(None)
    bare, ours = [], []
    for _ in range(5):
        bare.append(bare_loop())
        start = time.perf_counter()
        result = run_job(job, lambda *_: False)
        ours.append(time.perf_counter() - start)
        assert result.state == "complete", result.reason
    print(
        f"one trial against the bare loop: {min(ours) / min(bare):.2f}x ({min(ours):.2f} s /"
        f" {min(bare):.2f} s)"
    )


class Stub(Executor):
    """Ends every trial at once with a made-up value: what is left is ask, store and track."""

    def __init__(self, info: ModelInfo | None) -> None:
        self.info = info
        self.waiting: list[int] = []

    def submit(self, key: int, job: Job) -> None:
        """Keep the key."""
        self.waiting.append(key)

    def wait(self, on_report: OnReport) -> list[tuple[int, Result]]:
        """End what was submitted."""
        keys, self.waiting = self.waiting, []
        ended = []
        for key in keys:
            metrics = {"val_accuracy": 0.5 + 0.4 * ((key * 7919) % 1000) / 1000, "val_loss": 1.0}
            ended.append(
                (
                    key,
                    Result(
                        "complete", metrics=metrics, history=[(0, metrics)], model_info=self.info
                    ),
                )
            )
        return ended

    def close(self) -> None:
        """Forget the rest."""
        self.waiting = []


class Clock(Listener):
    """CPU time of this process at each trial's end, and of the thread that runs the search.

    The mirror has a thread of its own.
    """

    def __init__(self) -> None:
        self.stamps: list[tuple[float, float]] = []

    def trial_ended(self, trial: optuna.trial.FrozenTrial) -> None:
        """Look at the time."""
        self.stamps.append((time.process_time(), time.thread_time()))


def stub(trials: int = 1000) -> None:
    """CPU time of a trial at number 10 against number 1,000 with the training stubbed.

    There are 300 choices at each of four sites, all chosen at once; the default sampler also has
    them staged, as in the default space of own models.
    """
    quiet()
    info = run_job(study_config("classification").job(None, "inspect"), lambda *_: False).model_info
    general = SearchSpace.load("general")
    layer = general.model_copy(update={"granularity": "layer"})
    for sampler, space in (
        ("random", layer),
        ("tpe", layer),
        ("function_space", general),
        ("function_space", layer),
    ):
        config = study_config("classification", space, sampler=sampler, pruner="none")
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            store = Store(folder)
            mirror = Mirror(store)
            with store.owned("stub"):
                run = open_study(store, "stub", config, info)
                with mirror.following(run):
                    Coordinator(run, Stub(info), 1, [mirror, clock]).search(trials)
        gaps = np.diff(np.array(clock.stamps), axis=0) * 1e3
        (early, own_early), (late, own_late) = np.median(gaps[5:55], 0), np.median(gaps[-50:], 0)
        print(
            f"{sampler}, {space.granularity}: trial 10 {early:.0f} ms, trial {trials}"
            f" {late:.0f} ms: {late / early:.2f}x; without the mirror {own_early:.0f} ms,"
            f" {own_late:.0f} ms: {own_late / own_early:.2f}x",
            flush=True,
        )


def proposal(sites: int, trials: int, choices: int = 300) -> None:
    """CPU time of a proposal of the default sampler, median of three, after so many trials.

    The trials are random. What the study's storage takes to keep the proposal is not in it.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = np.random.default_rng(0)
    distribution = CategoricalDistribution(pool(choices, 2, 0))
    names = [f"site {i}" for i in range(sites)]
    distributions = dict.fromkeys(names, distribution)
    worth = rng.standard_normal((sites, choices))
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        sampler = FunctionSpaceSampler(seed=0)
        url = f"sqlite:///{folder}/study.db"
        study = optuna.create_study(storage=url, direction="maximize", sampler=sampler)
        for row in rng.integers(choices, size=(trials, sites)):
            given = {name: distribution.choices[i] for name, i in zip(names, row, strict=True)}
            value = float(worth[np.arange(sites), row].mean())
            study.add_trial(create_trial(params=given, distributions=distributions, value=value))
        for _ in range(4):  # the first one also describes the functions
            trial = study.ask()
            start = time.process_time()
            trial.suggest_categorical(names[0], distribution.choices)
            seconds.append(time.process_time() - start)
            for name in names[1:]:
                trial.suggest_categorical(name, distribution.choices)
            study.tell(trial, float(rng.standard_normal()))
    print(
        f"proposal, {sites} sites of {choices} choices, {trials} trials:"
        f" {statistics.median(seconds[1:]):.2f} s of CPU",
        flush=True,
    )


def plain_peer(folder: Path, trials: int) -> None:
    """Run what a user would write instead.

    That is Optuna, a Lightning trainer with its defaults, and MLFlowLogger.
    """
    import lightning.pytorch as L
    from lightning.pytorch.loggers import MLFlowLogger

    def objective(trial: optuna.Trial) -> float:
        L.seed_everything(0, verbose=False)
        task = Classification()
        names = [site.name for site in find_sites(task)]
        entries = {n: SiteEntry(activation=trial.suggest_categorical(n, CANDIDATES)) for n in names}
        Placement(sites=entries).apply(task)
        logger = MLFlowLogger(
            "peer",
            tracking_uri=f"sqlite:///{folder}/mlflow.db",
            artifact_location=str(folder / "a"),
        )
        trainer = L.Trainer(
            max_epochs=EPOCHS, logger=logger, default_root_dir=folder, log_every_n_steps=5
        )
        trainer.fit(task)
        return float(trainer.callback_metrics["val_accuracy"])

    study = optuna.create_study(direction="maximize", storage=f"sqlite:///{folder}/optuna.db")
    study.optimize(objective, n_trials=trials)


def ours(folder: Path, jobs: str, trials: int) -> list[str]:
    """Return the command of the same search.

    Task, candidates, sampler and number of trials are the same.
    """
    space = folder / "space.yaml"
    space.write_text(
        "# Those of the plain loop.\nactivations:\n"
        + "".join(f"  {name}:\n" for name in CANDIDATES)
    )
    command = (
        f"search classification --space {space} --sampler tpe --pruner none --learning-rate fixed"
        " --confirm 0"
    )
    command += (
        f" --trials {trials} --jobs {jobs} --trainer.max_epochs {EPOCHS} --store {folder / 'store'}"
    )
    return [str(Path(sys.executable).parent / "actsearch"), *command.split()]


def plain(trials: int) -> None:
    """Run the plain loop in this process."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        plain_peer(Path(folder), trials)


def peer(trials: int, rounds: int = 1) -> None:
    """Trials a minute of `actsearch search` against the plain loop.

    Each runs in a process of its own, timed from its start to its end. The plain loop runs once
    with torch's default threads and once with one thread; the best of all rounds counts.
    """
    runs = {"plain": {}, "plain, one thread": {"OMP_NUM_THREADS": "1"}, "1": {}, "2": {}}
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, environment in runs.items():
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, __file__, "plain", str(trials)]
                if name.isdigit():
                    command = ours(Path(folder), name, trials)
                given = {
                    "env": os.environ | environment,
                    "stdout": subprocess.DEVNULL,
                    "stderr": subprocess.DEVNULL,
                }
                start = time.perf_counter()
                subprocess.run(command, check=True, **given)
                best[name] = min(best[name], time.perf_counter() - start)
    for jobs in ("1", "2"):
        ratios = ", ".join(
            f"{best[name] / best[jobs]:.2f}x ({name})" for name in ("plain", "plain, one thread")
        )
        print(
            f"trials a minute, {trials} trials, {jobs} job(s), against Optuna + Lightning +"
            f" MLFlowLogger: {ratios}"
        )
    print("seconds:", ", ".join(f"{name} {seconds:.1f}" for name, seconds in best.items()))


if __name__ == "__main__":
    what, *count = sys.argv[1:] or ["all"]
    number = [int(text) for text in count]
    if what in ("trial", "all"):
        trial()
    if what in ("stub", "all"):
        stub(*number)
    if what in ("proposal", "all"):
        for sites, trials in [number] if number else [(50, 300), (12, 2000)]:
            proposal(sites, trials)
    if what in ("peer", "all"):
        peer(*number or [20])
    if what == "plain":
        plain(*number)
