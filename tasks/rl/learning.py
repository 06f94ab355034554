"""How actor and critic learn from a batch: soft actor-critic, or proximal policy optimisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from typing_extensions import override

from actsearch.placement.optimiser import parameter_groups
from actsearch.task.task import Task

from .experience import TransitionBatch
from .losses import clipped_objective, generalised_advantages, soft_target
from .networks import Actor, Critic


class ActorCritic(Task):
    """A policy and its value functions, each with an optimiser of its own.

    Attributes:
        actor: the policy.
        critic: Q of observation and action under soft actor-critic, else V of the observation.
        log_temperature: soft actor-critic: logarithm of the weight of the policy's entropy.
        target: soft actor-critic: the critic's parameters, followed slowly; not a module, since its
            sites are the critic's.
    """

    actor: Actor
    critic: Critic
    log_temperature: torch.nn.Parameter
    target: dict[str, Tensor]

    @property
    def soft(self) -> bool:
        """Whether it learns by soft actor-critic."""
        return bool(self.hparams["algorithm"] == "sac")

    @override
    def on_fit_start(self) -> None:
        self.target = {
            name: tensor.detach().clone() for name, tensor in self.critic.named_parameters()
        }

    def observed(self, array: np.ndarray) -> Tensor:
        """Return observations as the networks take them."""
        return torch.as_tensor(array, dtype=torch.float32, device=self.device)

    @override
    def configure_optimizers(self) -> Any:
        lr, fused = self.hparams["lr"], self.device.type in ("cpu", "cuda", "mps", "xpu")

        def adam(module: torch.nn.Module) -> torch.optim.Optimizer:
            return torch.optim.Adam(parameter_groups(module, lr=lr, weight_decay=0.0), fused=fused)

        optimisers = [adam(self.critic), adam(self.actor)]
        if self.soft:
            optimisers.append(torch.optim.Adam([self.log_temperature], lr=lr, fused=fused))
        return optimisers

    def _optimisers(self) -> list[Any]:
        found = self.optimizers()
        assert isinstance(found, list)  # there are always at least two
        return found

    @override
    def training_step(self, batch: TransitionBatch, batch_idx: int) -> None:
        if self.soft:
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
        weight = self.hparams["entropy"]
        if weight:
            loss = loss + weight * self.actor.sample(batch["observation"])[2].mean()
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
    def advantages(self, rollout: TransitionBatch) -> TransitionBatch:
        """Add to a rollout its log-densities, advantages and returns.

        What learning does not need is left out.
        """
        seen = {name: tensor.to(self.device) for name, tensor in rollout.items()}
        value, after = (self._values(seen[name]) for name in ("observation", "next_observation"))
        reward, terminated, ended = (seen[name] for name in ("reward", "terminated", "ended"))
        advantage = generalised_advantages(
            reward, value, after, terminated, ended, self.hparams["discount"], self.hparams["trace"]
        )
        mean, log_std = self.actor.gaussian(seen["observation"])
        log_density = self.actor.log_density(seen["u"], mean, log_std)
        kept = {"observation": seen["observation"], "u": seen["u"], "log_density": log_density}
        return {**kept, "advantage": advantage, "return": advantage + value}

    def _values(self, observation: Tensor) -> Tensor:
        values: Tensor = self.critic(observation.flatten(0, 1))[0]
        return values.view(observation.shape[:2])
