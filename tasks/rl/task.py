"""Reinforcement learning: continuous control with a squashed Gaussian policy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from actsearch.task.options import (
    Interval,
    NonNegativeFloat,
    NonNegativeInt,
    OpenUnitInterval,
    PositiveFloat,
    PositiveInt,
    check_option,
    check_options,
)
from actsearch.task.tensors import TensorLoader

from .environments import Environments, Evaluation, evaluate_policy, make
from .experience import Replay, Rollout
from .learning import ActorCritic
from .networks import Actor, Critic
from .noise import policy_noise
from .pictures import episode, learning_curve

VALIDATION_SEED, TEST_SEED = 10_000, 20_000  # of the first evaluation episode
SAMPLE = 256  # observations on which a policy's noise is measured


class ContinuousControl(ActorCritic):
    r"""Continuous control with a squashed Gaussian policy.

    By soft actor-critic or proximal policy optimisation.

    .. math:: \max_\pi E\left[\sum_t \gamma^t (r_t - \alpha \log \pi(a_t|o_t))\right],
        \quad a = \varphi(u), \quad u \sim N(\mu(o), \sigma(o)^2)

    Sites: the trunk of the actor, the trunk of the critic (the members of its ensemble share them),
    and ``actor.squash``, which must be a bounded bijection. An epoch is ``epoch_steps`` environment
    steps with their updates, and ends with 20 episodes of fixed seeds under the deterministic
    policy; test episodes have seeds of their own. Soft actor-critic takes ``warm_up`` steps at
    random before the first epoch, so that 14 epochs are 15,000 steps. A checkpoint holds the
    networks, not the experience.

    Logged: ``val_return`` (mean of the 20 episodes), ``val_return_deviation``, ``val_entropy``
    (nats, of actions in (-1, 1)), ``valid_actions`` (share of actions inside of the action space),
    ``gradient_variance`` of the policy's loss over its noise and ``gradient_variance_uncorrected``
    without the change-of-variables term, ``env_steps`` and ``steps_per_second``; ``test_return`` in
    test.

    Shapes:
        input observations ``(N, observation)``; output actions in (-1, 1) ``(N, action)`` and their
        values ``(E, N)``.

    Args:
        env: any Gymnasium environment with a flat observation and a bounded action of one
            dimension.
        algorithm: ``sac`` or ``ppo``.
        envs: copies of the environment that are stepped side by side, at least 1.
        epoch_steps: environment steps of an epoch, of all copies together; for ppo, its rollout.
        hidden: units of a layer, at least 1.
        depth: hidden layers of each trunk, at least 1.
        batch_size: transitions of an update, at least 1.
        lr: learning rate of Adam, above 0.
        discount: :math:`\gamma`, in (0, 1).
        warm_up: sac: random steps before the first epoch, at least ``batch_size``.
        capacity: sac: transitions that the replay buffer keeps.
        updates: sac: updates for each environment step, above 0.
        smoothing: sac: share :math:`\tau` of the critic that its target takes over at each update,
            in (0, 1).
        trace: ppo: :math:`\lambda` of the generalised advantages, in (0, 1).
        clip: ppo: range :math:`\epsilon` of the density ratio, in (0, 1).
        passes: ppo: how often an epoch goes over its rollout, at least 1.
        entropy: ppo: weight of the policy's entropy, at least 0.
        episodes: evaluation episodes, at least 1.

    Raises:
        ActsearchError: an option out of its range, or an environment that is unknown, not
            installed, or has no boxes.

    References:
        Soft Actor-Critic Algorithms and Applications, T. Haarnoja et al., 2018,
        https://arxiv.org/abs/1812.05905; Proximal Policy Optimization Algorithms, J. Schulman et
        al., 2017, https://arxiv.org/abs/1707.06347
    """

    monitor = "val_return"
    mode = "max"
    test_metric = "test_return"
    space = "squashers"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 14}

    def __init__(
        self,
        env: str = "Pendulum-v1",
        algorithm: Literal["sac", "ppo"] = "sac",
        envs: PositiveInt = 1,
        epoch_steps: PositiveInt = 1000,
        hidden: PositiveInt = 64,
        depth: PositiveInt = 2,
        batch_size: PositiveInt = 128,
        lr: PositiveFloat = 1e-3,
        discount: OpenUnitInterval = 0.99,
        warm_up: NonNegativeInt = 1000,
        capacity: PositiveInt = 100_000,
        updates: PositiveFloat = 1.0,
        smoothing: OpenUnitInterval = 0.005,
        trace: OpenUnitInterval = 0.95,
        clip: OpenUnitInterval = 0.2,
        passes: PositiveInt = 10,
        entropy: NonNegativeFloat = 0.0,
        episodes: PositiveInt = 20,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        check_options(self)
        if algorithm == "sac":
            check_option("warm_up", warm_up, Annotated[int, Interval(batch_size)])
        check_option("capacity", capacity, Annotated[int, Interval(max(batch_size, envs))])
        made: Any = make(env)
        (observation,), (action,) = made.observation_space.shape, made.action_space.shape
        made.close()
        self.actor = Actor(observation, action, hidden, depth)
        if algorithm == "sac":
            self.critic = Critic(observation + action, hidden, depth, members=2)
            self.log_temperature = torch.nn.Parameter(torch.zeros(()))
        else:
            self.critic = Critic(observation, hidden, depth, members=1)
        self.example_input_array = torch.zeros(4, observation)
        self.automatic_optimization = False
        # Environment steps, and returns of the evaluation's episodes.
        self.history: list[tuple[int, list[float]]] = []
        self._experience: Replay | Rollout | None = None
        self._begin = 0.0

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Return the deterministic action in (-1, 1) and its value."""
        action = self.actor(observation)
        seen = torch.cat([observation, action], -1) if self.soft else observation
        return action, self.critic(seen)

    def train_dataloader(self) -> Replay | Rollout:
        """Return the experience, which grows while it is iterated over."""
        options = self.hparams
        seed = torch.initial_seed() % 2**31
        envs = Environments(options["env"], options["envs"], seed)
        size = options["batch_size"]
        common = {"steps": options["epoch_steps"], "batch_size": size, "seed": seed}
        if self.soft:
            common |= {name: options[name] for name in ("capacity", "warm_up", "updates")}
            self._experience = Replay(envs, self._explore, **common)
        else:
            common["passes"] = options["passes"]
            self._experience = Rollout(envs, self._explore, self.advantages, **common)
        return self._experience

    def val_dataloader(self) -> TensorLoader:
        """Return the seeds of the evaluation's episodes."""
        return self._seeds(VALIDATION_SEED)

    def test_dataloader(self) -> TensorLoader:
        """Return the seeds of the test's episodes, which validation does not touch."""
        return self._seeds(TEST_SEED)

    def _seeds(self, first: int) -> TensorLoader:
        count = self.hparams["episodes"]
        return TensorLoader(torch.arange(first, first + count), batch_size=count)

    @override
    def on_fit_start(self) -> None:
        super().on_fit_start()
        self._begin = time.perf_counter()

    def on_fit_end(self) -> None:
        """Close the environments."""
        if self._experience is not None:
            self._experience.envs.close()

    @torch.no_grad()
    def _explore(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u, action, _ = self.actor.sample(self.observed(observation))
        return u.cpu().numpy(), action.cpu().numpy()

    @torch.no_grad()
    def _exploit(self, observation: np.ndarray) -> np.ndarray:
        action: np.ndarray = self.actor(self.observed(observation)).cpu().numpy()
        return action

    def validation_step(self, batch: tuple[Tensor], batch_idx: int) -> None:
        """Run the evaluation's episodes, and measure the policy where they went."""
        found = self._evaluate(batch)
        steps = self._experience.taken if self._experience is not None else 0
        if not self.trainer.sanity_checking:
            self.history.append((steps, found.returns.tolist()))
        figures = {
            "val_return": found.returns.mean(),
            "val_return_deviation": found.returns.std(),
            "env_steps": steps,
            **self._measure_policy(found),
            "steps_per_second": steps / (time.perf_counter() - self._begin),
        }
        self.log_dict(figures, prog_bar=True, batch_size=1)

    def test_step(self, batch: tuple[Tensor], batch_idx: int) -> None:
        """Run the test's episodes."""
        found = self._evaluate(batch)
        self.log_dict(
            {"test_return": found.returns.mean(), "test_valid_actions": found.valid}, batch_size=1
        )

    def _evaluate(self, batch: tuple[Tensor]) -> Evaluation:
        return evaluate_policy(self.hparams["env"], batch[0].tolist(), self._exploit)

    def _measure_policy(self, found: Evaluation) -> dict[str, float]:
        """Return what noise does to the policy, on observations that were met."""
        generator = torch.Generator().manual_seed(0)
        with torch.inference_mode(False):
            rows = torch.randint(len(found.observations), (SAMPLE,), generator=generator).numpy()
            figures = policy_noise(
                self.actor,
                self.observed(found.observations[rows]),
                self.critic if self.soft else None,
                self.log_temperature.detach().exp() if self.soft else 1.0,
            )
        return figures | {"valid_actions": min(figures["valid_actions"], found.valid)}

    def pictures(self, folder: Path) -> None:
        """Write the learning curve and the evaluation episode of median return.

        As a film strip too, where the environment can be drawn.
        """
        name, seed = self.hparams["env"], VALIDATION_SEED
        if self.history:
            learning_curve(folder / "learning_curve.png", self.history, name)
            returns = self.history[-1][1]
            seed += int(np.argsort(returns)[len(returns) // 2])
        episode(folder, name, seed, self._exploit)
