"""Pictures of continuous control: the learning curve, and one episode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actsearch.errors import ActsearchError
from tasks._pictures import new_figure
from tasks._rl_environments import LONGEST, make, scale

FRAMES = 10
DRAWN_EVERY = 4  # steps


def learning_curve(path: Path, history: Sequence[tuple[int, list[float]]], name: str) -> None:
    """Draw the mean return over environment steps, with a band from the worst to the best tenth of the episodes.

    Args:
        path: the PNG to write.
        history: environment steps, and the returns of the episodes evaluated there.
        name: of the environment.
    """
    steps = [step for step, _ in history]
    returns = [np.asarray(found) for _, found in history]
    figure, axes = new_figure(size=4.5)
    ax = axes[0, 0]
    low, high = ([np.quantile(found, q) for found in returns] for q in (0.1, 0.9))
    ax.fill_between(steps, low, high, alpha=0.3, label="episodes, 10 % to 90 %")
    ax.plot(steps, [found.mean() for found in returns], marker="o", markersize=3, label="mean")
    ax.set(xlabel="environment steps", ylabel="return", title=name)
    ax.legend()
    figure.savefig(path, dpi=120)


def episode(folder: Path, name: str, seed: int, policy: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write ``episode.png``: what was seen and done; with frames also ``film_strip.png`` and ``episode.gif``.

    Args:
        folder: where to write.
        name: of the environment.
        seed: of the episode.
        policy: actions in (-1, 1) for observations ``(N, observation)``.
    """
    try:
        env = make(name, render_mode="rgb_array")
    except (ActsearchError, ValueError, TypeError):  # it cannot be drawn, or what draws it is not installed
        env = make(name)
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards, frames = [], [], [], []
    for step in range(LONGEST):
        if env.render_mode == "rgb_array" and step % DRAWN_EVERY == 0:
            frames.append(_frame(env))
        action = scale(policy(observation[None]), env.action_space)[0]
        observations.append(observation)
        actions.append(action)
        observation, reward, terminated, truncated, _info = env.step(action)
        rewards.append(float(reward))
        if terminated or truncated:
            break
    env.close()
    figure, axes = new_figure(3, 1, size=2.2)
    figure.set_size_inches(7, 6.6)
    rows = (("observation", observations), ("action", actions), ("reward", rewards))
    for ax, (label, values) in zip(axes[:, 0], rows, strict=True):
        ax.plot(np.asarray(values))
        ax.set_ylabel(label)
    axes[0, 0].set_title(f"{name}, seed {seed}: return {sum(rewards):.1f}")
    axes[-1, 0].set_xlabel("step")
    figure.savefig(folder / "episode.png", dpi=120)
    shown = [frame for frame in frames if frame is not None]
    if shown:
        _film(folder, shown)


def _frame(env: Any) -> Any:
    try:
        return env.render()
    except Exception:  # what draws it is missing, each environment says so in its own way; the plot stands without
        return None


def _film(folder: Path, frames: list[np.ndarray]) -> None:
    from PIL import Image

    small = [Image.fromarray(frame).resize((200, 200 * frame.shape[0] // frame.shape[1])) for frame in frames]
    small[0].save(folder / "episode.gif", save_all=True, append_images=small[1:], duration=200, loop=0)
    picked = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int)
    strip = Image.new("RGB", (200 * len(picked), small[0].height))
    for i, at in enumerate(picked):
        strip.paste(small[at], (200 * i, 0))
    strip.save(folder / "film_strip.png")
