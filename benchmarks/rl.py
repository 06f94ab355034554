"""Soft actor-critic of the task ``rl`` beside Stable-Baselines3's.

Return and wall time at the same number of environment steps:

    python benchmarks/rl.py --steps 15000 --seeds 3

Both train on one thread with the same network, batch, learning rate, discount, updates per step and
number of random steps at the start, and are scored on the same 20 episodes under their
deterministic policy. Processor time stands beside wall time, which anything else on the machine
lengthens. The task's time has its evaluation after each epoch in it.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from pathlib import Path

import lightning as L
import numpy as np
import torch
from stable_baselines3 import SAC

from actsearch.task.pictures import new_figure
from actsearch_tasks.rl import TEST_SEED, ContinuousControl
from actsearch_tasks.rl.environments import evaluate_policy

ENV = "Pendulum-v1"


def clocks() -> np.ndarray:
    """Return wall and processor time."""
    return np.array([time.perf_counter(), time.process_time()])


def ours(seed: int, steps: int) -> tuple[list[float], list[tuple[int, list[float]]]]:
    """Return test return with wall and processor seconds, and the history, of one training."""
    L.seed_everything(seed, verbose=False)
    task = ContinuousControl(ENV)
    epochs = (steps - task.hparams["warm_up"]) // task.hparams["epoch_steps"]
    off = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = L.Trainer(max_epochs=epochs, accelerator="cpu", num_sanity_val_steps=0, **off)
    begin = clocks()
    trainer.fit(task)
    seconds = list(clocks() - begin)
    (result,) = trainer.test(task, verbose=False)
    return [result["test_return"], *seconds], task.history


def theirs(seed: int, steps: int) -> list[float]:
    """Return the same of one training by Stable-Baselines3, scored on the same episodes."""
    own = ContinuousControl(ENV).hparams
    model = SAC(
        "MlpPolicy",
        ENV,
        learning_rate=own["lr"],
        batch_size=own["batch_size"],
        gamma=own["discount"],
        tau=own["smoothing"],
        learning_starts=own["warm_up"],
        policy_kwargs={"net_arch": [own["hidden"]] * own["depth"]},
        seed=seed,
        device="cpu",
    )
    begin = clocks()
    model.learn(steps)
    seconds = list(clocks() - begin)

    def policy(observation: np.ndarray) -> np.ndarray:
        action, _ = model.predict(observation, deterministic=True)
        low, high = model.action_space.low, model.action_space.high
        return (2 * (action - low) / (high - low) - 1).astype(np.float32)

    seeds = range(TEST_SEED, TEST_SEED + own["episodes"])
    return [float(evaluate_policy(ENV, list(seeds), policy).returns.mean()), *seconds]


def draw(path: Path, curves: list[list[tuple[int, list[float]]]]) -> None:
    """Draw the learning curve: mean over the seeds, and the band from the worst to the best."""
    steps = [step for step, _ in curves[0]]
    means = np.array([[np.mean(returns) for _, returns in curve] for curve in curves])
    figure, axes = new_figure(size=4.5)
    ax = axes[0, 0]
    ax.fill_between(
        steps, means.min(0), means.max(0), alpha=0.3, label=f"{len(curves)} seeds, worst to best"
    )
    ax.plot(steps, means.mean(0), marker="o", markersize=3, label="mean")
    ax.set(xlabel="environment steps", ylabel="return", title=f"soft actor-critic on {ENV}")
    ax.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print a table, and draw the learning curve where a path is given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=15_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--picture", type=Path, default=None, help="PNG of the learning curve over the seeds"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    own, other, curves = [], [], []
    for seed in range(options.seeds):  # in turn, so that what else the machine does falls on both
        row, history = ours(seed, options.steps)
        own.append(row)
        curves.append(history)
        other.append(theirs(seed, options.steps))
        print(
            f"seed {seed}: task rl {own[-1][0]:.1f}, Stable-Baselines3 {other[-1][0]:.1f}",
            flush=True,
        )
    print(
        f"| {options.steps} steps of {ENV}, {options.seeds} seeds | mean return | wall (s) |"
        " processor (s) |"
    )
    print("|---|---|---|---|")
    for name, rows in (("task rl, sac", own), ("Stable-Baselines3 SAC", other)):
        figures = np.mean(rows, axis=0)
        print(f"| {name} | {figures[0]:.1f} | {figures[1]:.0f} | {figures[2]:.0f} |")
    if options.picture:
        draw(options.picture, curves)


if __name__ == "__main__":
    main()
