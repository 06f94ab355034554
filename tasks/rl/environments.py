"""Gymnasium environments for a policy in (-1, 1).

Made by name, stepped side by side, and evaluated by episode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from actsearch.errors import TaskError, UnknownNameError

if TYPE_CHECKING:
    from gymnasium import Env

LONGEST = 10_000  # steps of an evaluated episode, where the environment itself sets no limit


def make(name: str, **options: Any) -> Env[Any, Any]:
    """Return one environment by name.

    Raises:
        UnknownNameError: no environment of that name; the message has the nearest.
        TaskError: gymnasium, or what the environment needs, is not installed; or spaces that are no
            boxes.
    """
    try:
        import gymnasium
    except ImportError:
        raise TaskError(
            "rl needs gymnasium, which is not installed. Install actsearch[rl]."
        ) from None
    try:
        env = gymnasium.make(name, **options)
    except gymnasium.error.DependencyNotInstalled as error:
        raise TaskError(
            f"environment {name!r} needs what is not installed: {' '.join(str(error).split())}"
        ) from None
    except gymnasium.error.Error:
        raise UnknownNameError.among("environment", name, gymnasium.registry) from None
    box = gymnasium.spaces.Box
    spaces: dict[str, Any] = {"action": env.action_space, "observation": env.observation_space}
    for kind, space in spaces.items():
        if not isinstance(space, box) or len(space.shape) != 1:
            raise TaskError(
                f"the {kind} space of {name} must be a Box of one dimension, but is {space}."
            )
    if not spaces["action"].is_bounded("both"):
        raise TaskError(f"the action space of {name} must be bounded, but is {spaces['action']}.")
    return env


def scale(action: np.ndarray, space: Any) -> np.ndarray:
    """Map an action from [-1, 1] to the box, each end to its own end exactly."""
    share = 0.5 * (action.astype(np.float64) + 1.0)
    scaled: np.ndarray = ((1 - share) * space.low + share * space.high).astype(space.dtype)
    return scaled


class Transitions(NamedTuple):
    """What one step of ``envs`` environments brought.

    Actions in (-1, 1), ``u`` before squashing.
    """

    observation: np.ndarray
    u: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_observation: np.ndarray
    terminated: np.ndarray
    ended: np.ndarray


class Environments:
    """Several copies of one environment that restart by themselves.

    Args:
        name: of the environment.
        count: number of copies.
        seed: of the first copy's episodes; each further copy has the next.
    """

    def __init__(self, name: str, count: int, seed: int) -> None:
        from gymnasium.vector import AutoresetMode, SyncVectorEnv

        self._envs = SyncVectorEnv(
            [lambda: make(name)] * count, autoreset_mode=AutoresetMode.SAME_STEP
        )
        self.count = count
        self.space: Any = self._envs.single_action_space
        self.observation: np.ndarray = self._envs.reset(seed=seed)[0]

    def step(self, u: np.ndarray, action: np.ndarray) -> Transitions:
        """Take an action in each copy."""
        before = self.observation
        after, reward, terminated, truncated, info = self._envs.step(scale(action, self.space))
        self.observation = after
        ended = terminated | truncated
        last = after.copy()
        for i in ended.nonzero()[0]:  # what follows a restart is not what followed the action
            last[i] = info["final_obs"][i]
        return Transitions(before, u, action, reward, last, terminated, ended)

    def close(self) -> None:
        """Release what the environments hold."""
        self._envs.close()


@dataclass(frozen=True)
class Evaluation:
    """Episodes under a deterministic policy.

    Args:
        returns: sum of rewards of every episode.
        observations: every observation met, ``(steps, observation)``.
        valid: share of the actions that were inside of the action space.
    """

    returns: np.ndarray
    observations: np.ndarray
    valid: float


def evaluate_policy(
    name: str, seeds: Sequence[int], policy: Callable[[np.ndarray], np.ndarray]
) -> Evaluation:
    """Run one episode for each seed, side by side, each until it ends.

    Args:
        name: of the environment.
        seeds: one for each episode.
        policy: actions in (-1, 1) for observations ``(N, observation)``.
    """
    envs = [make(name) for _ in seeds]
    observations = np.stack(
        [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
    )
    returns = np.zeros(len(envs))
    alive = np.arange(len(envs))
    met, valid = [], 0
    space: Any = envs[0].action_space
    for _ in range(LONGEST):
        met.append(observations[alive])
        actions = scale(policy(observations[alive]), space)
        valid += int(sum(space.contains(action) for action in actions))
        going = []
        for i, action in zip(alive, actions, strict=True):
            observations[i], reward, terminated, truncated, _info = envs[i].step(action)
            returns[i] += float(reward)
            if not (terminated or truncated):
                going.append(i)
        alive = np.array(going, dtype=int)
        if not going:
            break
    for env in envs:
        env.close()
    seen = np.concatenate(met)
    return Evaluation(returns, seen, valid / len(seen))
