"""Pictures of continuous control: the learning curve, and one episode."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actsearch.errors import ActsearchError
from actsearch.task.pictures import DPI, new_figure

from .environments import LONGEST, make, scale

STRIP = (2, 6)  # rows and columns of the film strip
DRAWN_EVERY, MOST_FRAMES, SIDE = 2, 300, 200  # steps, frames kept, pixels

History = Sequence[tuple[int, Sequence[float]]]
"""Of one training: environment steps, and the returns of the episodes evaluated there."""


def learning_curve(path: Path, history: History, name: str) -> None:
    """Draw the mean return over environment steps.

    A band goes from the worst to the best tenth of the evaluation's episodes.

    Args:
        path: the PNG to write.
        history: of the training.
        name: of the environment.
    """
    steps = [step for step, _ in history]
    returns = np.array([found for _, found in history])  # steps × episodes
    low, high = np.quantile(returns, (0.1, 0.9), axis=1)
    figure, axes = new_figure(size=4.0)
    ax = axes[0, 0]
    ax.fill_between(steps, low, high, alpha=0.3, label="episodes, 10 % to 90 %")
    ax.plot(steps, returns.mean(1), marker="o", markersize=3, label="mean")
    ax.set(xlabel="environment steps", ylabel="return", title=name)
    ax.legend(loc="lower right")
    figure.savefig(path, dpi=DPI)


def episode(folder: Path, name: str, seed: int, policy: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write ``episode.png``: what was seen and done.

    With frames also ``film_strip.png`` and ``episode.gif``.

    Args:
        folder: where to write.
        name: of the environment.
        seed: of the episode.
        policy: actions in (-1, 1) for observations ``(N, observation)``.
    """
    # What draws many environments would look for a display.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    try:
        env = make(name, render_mode="rgb_array")
    except (ActsearchError, ValueError, TypeError):  # it, or what draws it, is not there
        env = make(name)
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards = [], [], []
    frames: dict[int, Any] = {}
    for step in range(LONGEST):
        if env.render_mode == "rgb_array" and step % DRAWN_EVERY == 0 and len(frames) < MOST_FRAMES:
            frames[step] = _frame(env)
        action = scale(policy(observation[None]), env.action_space)[0]
        observations.append(observation)
        actions.append(action)
        observation, reward, terminated, truncated, _info = env.step(action)
        rewards.append(float(reward))
        if terminated or truncated:
            break
    env.close()
    title = f"{name}, seed {seed}: return {sum(rewards):.1f}"
    figure, axes = new_figure(3, 1, size=2.2)
    figure.set_size_inches(7, 6.6)
    rows = (("observation", observations), ("action", actions), ("reward", rewards))
    for ax, (label, values) in zip(axes[:, 0], rows, strict=True):
        ax.plot(np.asarray(values))
        ax.set_ylabel(label)
    axes[0, 0].set_title(title)
    axes[-1, 0].set_xlabel("step")
    figure.savefig(folder / "episode.png", dpi=DPI)
    shown = {step: frame for step, frame in frames.items() if frame is not None}
    if shown:
        first, *rest = shown.values()
        moving = {"save_all": True, "append_images": rest, "duration": 50 * DRAWN_EVERY, "loop": 0}
        first.save(folder / "episode.gif", **moving)
        _film_strip(folder / "film_strip.png", shown, np.asarray(observations), title)


def _frame(env: Any) -> Any:
    from PIL import Image

    try:
        image = Image.fromarray(env.render())
    except Exception:  # what draws it is missing, which each environment says in its own way
        return None
    return image.resize((SIDE, SIDE * image.height // image.width))


def _film_strip(path: Path, frames: dict[int, Any], observations: np.ndarray, title: str) -> None:
    """Draw frames evenly apart in how far the observation has moved.

    A policy at rest so fills no strip.
    """
    steps = np.array(list(frames))
    lengths = np.linalg.norm(np.diff(observations, axis=0, prepend=observations[:1]), axis=1)
    moved = lengths.cumsum()[steps]
    # At rest, evenly apart in time.
    moved = moved + 1e-6 * max(float(moved[-1]), 1.0) * steps / max(int(steps[-1]), 1)
    places = np.searchsorted(moved, np.linspace(moved[0], moved[-1], STRIP[0] * STRIP[1]))
    figure, axes = new_figure(*STRIP, size=1.5)
    for ax in axes.flat:
        ax.axis("off")
    for ax, step in zip(axes.flat, steps[np.unique(places.clip(max=len(steps) - 1))], strict=False):
        ax.imshow(frames[step])
        ax.set_title(f"step {step}", fontsize=9)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=DPI)
