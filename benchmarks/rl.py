"""Soft actor-critic of the task ``rl`` beside Stable-Baselines3's: return and wall time at the same environment steps.

    python benchmarks/rl.py --steps 15000 --seeds 3

Both train on one thread with the same network, batch, learning rate, discount and updates per step, from the same random
steps at the start, and are scored on the same 20 episodes under their deterministic policy.
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

from tasks._pictures import new_figure
from tasks._rl_environments import evaluate
from tasks.rl import TEST_SEED, ContinuousControl

ENV = "Pendulum-v1"


def ours(seed: int, steps: int) -> tuple[float, float, list[tuple[int, list[float]]]]:
    """Return test return, wall seconds and history of one training."""
    L.seed_everything(seed, verbose=False)
    task = ContinuousControl(ENV)
    epochs = (steps - task.hparams["warm_up"]) // task.hparams["epoch_steps"]
    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(max_epochs=epochs, accelerator="cpu", num_sanity_val_steps=0, **off)
    begin = time.perf_counter()
    trainer.fit(task)
    seconds = time.perf_counter() - begin
    (result,) = trainer.test(task, verbose=False)
    return result["test_return"], seconds, task.history


def theirs(seed: int, steps: int) -> tuple[float, float]:
    """Return the same episodes' return, and wall seconds, of one training by Stable-Baselines3."""
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
    begin = time.perf_counter()
    model.learn(steps)
    seconds = time.perf_counter() - begin

    def policy(observation: np.ndarray) -> np.ndarray:
        action, _ = model.predict(observation, deterministic=True)
        low, high = model.action_space.low, model.action_space.high
        return (2 * (action - low) / (high - low) - 1).astype(np.float32)

    seeds = range(TEST_SEED, TEST_SEED + own["episodes"])
    return float(evaluate(ENV, list(seeds), policy).returns.mean()), seconds


def draw(path: Path, curves: list[list[tuple[int, list[float]]]]) -> None:
    """Draw the learning curve: mean over the seeds, with the band from the worst to the best of them."""
    steps = [step for step, _ in curves[0]]
    means = np.array([[np.mean(returns) for _, returns in curve] for curve in curves])
    figure, axes = new_figure(size=4.5)
    ax = axes[0, 0]
    ax.fill_between(steps, means.min(0), means.max(0), alpha=0.3, label=f"{len(curves)} seeds, worst to best")
    ax.plot(steps, means.mean(0), marker="o", markersize=3, label="mean")
    ax.set(xlabel="environment steps", ylabel="return", title=f"soft actor-critic on {ENV}")
    ax.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print a table, and draw the learning curve where a path is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=15_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", type=Path, default=None, help="PNG of the learning curve over the seeds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    rows, curves = [], []
    for seed in range(options.seeds):  # in turn, so that what else the machine does falls on both
        own, own_seconds, history = ours(seed, options.steps)
        other, other_seconds = theirs(seed, options.steps)
        curves.append(history)
        rows.append((own, own_seconds, other, other_seconds))
        print(
            f"seed {seed}: rl {own:.1f} in {own_seconds:.0f} s; Stable-Baselines3 {other:.1f} in {other_seconds:.0f} s"
        )
    own, own_seconds, other, other_seconds = np.mean(rows, axis=0)
    print(f"| {options.steps} steps of {ENV}, {options.seeds} seeds | mean return | wall time (s) |")
    print("|---|---|---|")
    print(f"| task rl, sac | {own:.1f} | {own_seconds:.0f} |")
    print(f"| Stable-Baselines3 SAC | {other:.1f} | {other_seconds:.0f} |")
    if options.picture:
        draw(options.picture, curves)


if __name__ == "__main__":
    main()
