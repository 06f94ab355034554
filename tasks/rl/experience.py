"""Experience as a data set: a replay buffer, and a rollout."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from .environments import Environments, Transitions

Policy = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
TransitionBatch = dict[str, Tensor]


class Replay:
    """Iterate over random batches of all transitions so far, acting between them.

    For soft actor-critic. Before the first batch, ``warm_up`` steps are taken with actions drawn
    uniformly from the box. An epoch takes ``steps`` further steps, and gives ``steps × updates``
    batches.

    Args:
        envs: where to act.
        policy: pre-squash samples and actions for observations.
        steps: environment steps of an epoch.
        batch_size: transitions of a batch.
        capacity: transitions kept; the oldest go first.
        warm_up: environment steps before the first batch.
        updates: batches for each environment step.
        seed: of the uniform actions and of the batches.
    """

    def __init__(
        self,
        envs: Environments,
        policy: Policy,
        *,
        steps: int,
        batch_size: int,
        capacity: int,
        warm_up: int,
        updates: float,
        seed: int,
    ) -> None:
        self.envs, self.policy = envs, policy
        self.steps, self.batch_size, self.capacity = steps, batch_size, capacity
        self.warm_up, self.updates = warm_up, updates
        self.taken = 0
        self._random = np.random.default_rng(seed)
        self.memory: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return round(self.steps * self.updates)

    def __iter__(self) -> Iterator[TransitionBatch]:
        while self.taken < self.warm_up:
            shape = (self.envs.count, *self.envs.space.shape)
            action = self._random.uniform(-1, 1, shape).astype(np.float32)
            self._keep(self.envs.step(action, action))
        batches, goal = 0, len(self)
        begin = self.taken
        while batches < goal:
            self._keep(self.envs.step(*self.policy(self.envs.observation)))
            # Where the copies together step past the epoch's end, the last updates of the epoch go
            # with them.
            due = min(goal, round((self.taken - begin) * self.updates))
            for _ in range(due - batches):
                yield self._draw()
            batches = due

    def _keep(self, seen: Transitions) -> None:
        at = np.arange(self.taken, self.taken + self.envs.count) % self.capacity
        for key, row in seen._asdict().items():
            if key not in ("u", "ended"):  # of no use to what learns from this buffer
                if key not in self.memory:
                    self.memory[key] = torch.zeros(self.capacity, *row.shape[1:])
                self.memory[key][at] = torch.from_numpy(row.astype(np.float32))
        self.taken += self.envs.count

    def _draw(self) -> TransitionBatch:
        rows = torch.from_numpy(
            self._random.integers(0, min(self.taken, self.capacity), self.batch_size)
        )
        return {key: tensor[rows] for key, tensor in self.memory.items()}


class Rollout:
    """Act for one epoch's steps, then go over what was seen several times in shuffled batches.

    For proximal policy optimisation.

    Args:
        envs: where to act.
        policy: pre-squash samples and actions for observations.
        prepare: adds to the rollout (of shape ``(steps, copies, ...)`` each) what learning needs,
            such as advantages.
        steps: environment steps of an epoch, of all copies together.
        batch_size: transitions of a batch.
        passes: how often an epoch goes over its transitions.
        seed: of the shuffling.
    """

    def __init__(
        self,
        envs: Environments,
        policy: Policy,
        prepare: Callable[[TransitionBatch], TransitionBatch],
        *,
        steps: int,
        batch_size: int,
        passes: int,
        seed: int,
    ) -> None:
        self.envs, self.policy, self.prepare = envs, policy, prepare
        self.length = -(-steps // envs.count)
        self.batch_size, self.passes = batch_size, passes
        self.taken = 0
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        return self.passes * -(-self.length * self.envs.count // self.batch_size)

    def __iter__(self) -> Iterator[TransitionBatch]:
        seen = [self.envs.step(*self.policy(self.envs.observation)) for _ in range(self.length)]
        self.taken += self.length * self.envs.count
        columns = zip(Transitions._fields, zip(*seen, strict=True), strict=True)
        rollout = self.prepare(
            {key: torch.from_numpy(np.stack(column).astype(np.float32)) for key, column in columns}
        )
        rows = {key: tensor.flatten(0, 1) for key, tensor in rollout.items()}
        count = self.length * self.envs.count
        for _ in range(self.passes):
            order = torch.from_numpy(self._random.permutation(count))
            for first in range(0, count, self.batch_size):
                part = order[first : first + self.batch_size]
                yield {key: tensor[part] for key, tensor in rows.items()}
