"""Reinforcement learning: continuous control with a squashed Gaussian policy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from actsearch.placement.optimiser import parameter_groups
from actsearch.task.options import (
    Interval,
    NonNegativeFloat,
    NonNegativeInt,
    OpenUnitInterval,
    PositiveFloat,
    PositiveInt,
    check,
    check_options,
)
from actsearch.task.task import Task
from actsearch.task.tensors import TensorLoader

from .environments import Environments, Evaluation, evaluate, make
from .experience import Replay, Rollout, TransitionBatch
from .losses import clipped_objective, generalised_advantages, soft_target
from .networks import Actor, Critic
from .noise import policy_noise
from .pictures import episode, learning_curve

VALIDATION_SEED, TEST_SEED = 10_000, 20_000  # of the first evaluation episode
SAMPLE = 256  # observations on which a policy's noise is measured


class ContinuousControl(Task):
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
            check("warm_up", warm_up, Annotated[int, Interval(batch_size)])
        check("capacity", capacity, Annotated[int, Interval(max(batch_size, envs))])
        made = make(env)
        (observation,), (action,) = (
            made.observation_space.shape or (),
            made.action_space.shape or (),
        )
        made.close()
        self.actor = Actor(observation, action, hidden, depth)
        if algorithm == "sac":
            self.critic = Critic(observation + action, hidden, depth, members=2)
            self.log_temperature = torch.nn.Parameter(torch.zeros(()))
        else:
            self.critic = Critic(observation, hidden, depth, members=1)
        self.example_input_array = torch.zeros(4, observation)
        self.automatic_optimization = False
        self.history: list[
            tuple[int, list[float]]
        ] = []  # environment steps, returns of the evaluation's episodes
        self.target: dict[str, Tensor] = {}
        self._experience: Replay | Rollout | None = None
        self._begin = 0.0

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Return the deterministic action in (-1, 1) and its value."""
        action = self.actor(observation)
        return action, self.critic(
            torch.cat([observation, action], -1) if self._soft else observation
        )

    @property
    def _soft(self) -> bool:
        return bool(self.hparams["algorithm"] == "sac")

    def train_dataloader(self) -> Replay | Rollout:
        """Return the experience, which grows while it is iterated over."""
        options = self.hparams
        seed = torch.initial_seed() % 2**31
        envs = Environments(options["env"], options["envs"], seed)
        common = {
            "steps": options["epoch_steps"],
            "batch_size": options["batch_size"],
            "seed": seed,
        }
        if self._soft:
            more = {name: options[name] for name in ("capacity", "warm_up", "updates")}
            self._experience = Replay(envs, self._explore, **common, **more)
        else:
            self._experience = Rollout(
                envs, self._explore, self._advantages, **common, passes=options["passes"]
            )
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

    def on_fit_start(self) -> None:
        """Start the target critic where the critic is.

        Not a module, since its sites are the critic's.
        """
        self.target = {
            name: tensor.detach().clone() for name, tensor in self.critic.named_parameters()
        }
        self._begin = time.perf_counter()

    def on_fit_end(self) -> None:
        """Close the environments."""
        if self._experience is not None:
            self._experience.envs.close()

    @torch.no_grad()
    def _explore(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u, action, _ = self.actor.sample(self._tensor(observation))
        return u.cpu().numpy(), action.cpu().numpy()

    @torch.no_grad()
    def _exploit(self, observation: np.ndarray) -> np.ndarray:
        action: np.ndarray = self.actor(self._tensor(observation)).cpu().numpy()
        return action

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=self.device)

    def configure_optimizers(self) -> Any:
        """Return Adam for the critic, the actor, and the temperature where there is one."""
        lr, fused = self.hparams["lr"], self.device.type in ("cpu", "cuda", "mps", "xpu")

        def adam(module: torch.nn.Module) -> torch.optim.Optimizer:
            return torch.optim.Adam(parameter_groups(module, lr=lr, weight_decay=0.0), fused=fused)

        optimisers = [adam(self.critic), adam(self.actor)]
        return (
            [*optimisers, torch.optim.Adam([self.log_temperature], lr=lr, fused=fused)]
            if self._soft
            else optimisers
        )

    def _optimisers(self) -> list[Any]:
        found = self.optimizers()
        assert isinstance(found, list)  # there are always at least two
        return found

    def training_step(self, batch: TransitionBatch, batch_idx: int) -> None:
        """Update every network once."""
        if self._soft:
            self._soft_step(batch)
        else:
            self._proximal_step(batch)

    def _soft_step(self, batch: TransitionBatch) -> None:
        critic, actor, temperature = self._optimisers()
        weight = self.log_temperature.detach().exp()
        goal = soft_target(batch, self.actor, self.target_critic, weight, self.hparams["discount"])
        observation = batch["observation"]
        values = self.critic(torch.cat([observation, batch["action"]], -1))
        self._descend(critic, 0.5 * (values - goal).square().sum(0).mean(), self.critic)
        _, action, log_density = self.actor.sample(observation)
        value = self.critic(torch.cat([observation, action], -1)).amin(0)
        self._descend(actor, (weight * log_density - value).mean(), self.actor)
        # The entropy is held at -1 nat for each dimension of the action, the usual target.
        surplus = -log_density.detach().mean() + action.shape[-1]
        temperature.zero_grad()
        self.manual_backward(self.log_temperature * surplus)
        temperature.step()
        with torch.no_grad():
            current = [p.detach() for p in self.critic.parameters()]
            torch._foreach_lerp_(list(self.target.values()), current, self.hparams["smoothing"])

    def target_critic(self, x: Tensor) -> Tensor:
        """Return the values of the ensemble that follows the critic slowly."""
        values: Tensor = functional_call(self.critic, self.target, (x,))
        return values

    def _proximal_step(self, batch: TransitionBatch) -> None:
        critic, actor = self._optimisers()
        values = self.critic(batch["observation"])[0]
        self._descend(
            critic, 0.5 * (values - batch["return"]).square().mean(), self.critic, clip=0.5
        )
        mean, log_std = self.actor.gaussian(batch["observation"])
        ratio = (self.actor.log_density(batch["u"], mean, log_std) - batch["log_density"]).exp()
        advantage = batch["advantage"]
        advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
        loss = clipped_objective(ratio, advantage, self.hparams["clip"])
        if self.hparams["entropy"]:
            loss = (
                loss + self.hparams["entropy"] * self.actor.sample(batch["observation"])[2].mean()
            )
        self._descend(actor, loss, self.actor, clip=0.5)

    def _descend(
        self, optimiser: Any, loss: Tensor, module: torch.nn.Module, clip: float | None = None
    ) -> None:
        """Take one step of one network; another that the loss runs through gets no gradient."""
        optimiser.zero_grad()
        parameters = list(module.parameters())
        self.manual_backward(loss, inputs=parameters)
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimiser.step()

    @torch.no_grad()
    def _advantages(self, rollout: TransitionBatch) -> TransitionBatch:
        """Add to a rollout its log-densities, advantages and returns.

        What learning does not need is left out.
        """
        seen = {name: tensor.to(self.device) for name, tensor in rollout.items()}
        value, after = (self._values(seen[name]) for name in ("observation", "next_observation"))
        options = self.hparams
        advantage = generalised_advantages(
            seen["reward"],
            value,
            after,
            seen["terminated"],
            seen["ended"],
            options["discount"],
            options["trace"],
        )
        mean, log_std = self.actor.gaussian(seen["observation"])
        log_density = self.actor.log_density(seen["u"], mean, log_std)
        kept = {"observation": seen["observation"], "u": seen["u"], "log_density": log_density}
        return {**kept, "advantage": advantage, "return": advantage + value}

    def _values(self, observation: Tensor) -> Tensor:
        values: Tensor = self.critic(observation.flatten(0, 1))[0]
        return values.view(observation.shape[:2])

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
        }
        figures |= self.measure_policy(found)
        elapsed = time.perf_counter() - self._begin
        self.log_dict({**figures, "steps_per_second": steps / elapsed}, prog_bar=True, batch_size=1)

    def test_step(self, batch: tuple[Tensor], batch_idx: int) -> None:
        """Run the test's episodes."""
        found = self._evaluate(batch)
        self.log_dict(
            {"test_return": found.returns.mean(), "test_valid_actions": found.valid}, batch_size=1
        )

    def _evaluate(self, batch: tuple[Tensor]) -> Evaluation:
        return evaluate(self.hparams["env"], batch[0].tolist(), self._exploit)

    def measure_policy(self, found: Evaluation) -> dict[str, float]:
        """Return entropy, share of valid actions and variance of the gradient.

        Measured on observations that were met.
        """
        with torch.inference_mode(False):
            rows = torch.randint(
                len(found.observations), (SAMPLE,), generator=torch.Generator().manual_seed(0)
            )
            noise = policy_noise(
                self.actor,
                self._tensor(found.observations[rows.numpy()]),
                self._least_value,
                self.log_temperature.detach().exp() if self._soft else 1.0,
            )
        return {
            "val_entropy": noise.entropy,
            "valid_actions": min(noise.valid, found.valid),
            "gradient_variance": noise.variance,
            "gradient_variance_uncorrected": noise.variance_uncorrected,
        }

    def _least_value(self, x: Tensor) -> Tensor | None:
        return self.critic(x).amin(0) if self._soft else None

    def pictures(self, folder: Path) -> None:
        """Write the learning curve and the evaluation episode of median return.

        As a film strip too, where the environment can be drawn.
        """
        name, seed = self.hparams["env"], VALIDATION_SEED
        if self.history:
            learning_curve(folder / "learning_curve.png", [self.history], name)
            returns = self.history[-1][1]
            seed += int(np.argsort(returns)[len(returns) // 2])
        episode(folder, name, seed, self._exploit)
