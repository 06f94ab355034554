"""Actor and critic: a squashed Gaussian policy, and an ensemble of value functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from actsearch import Site
from actsearch.activations.bijective import Bijective
from actsearch.errors import TaskError

LOG_STD = (-5.0, 2.0)


class EnsembleLinear(nn.Module):
    r"""Several linear layers side by side, evaluated as one batched product.

    .. math:: y_e = x_e W_e + b_e

    Shapes:
        input ``(E, N, in_features)``, output ``(E, N, out_features)``.

    Args:
        members: number of layers E.
        in_features: size of each input.
        out_features: size of each output.
    """

    def __init__(self, members: int, in_features: int, out_features: int) -> None:
        super().__init__()
        bound = in_features**-0.5
        self.weight = nn.Parameter(
            torch.empty(members, in_features, out_features).uniform_(-bound, bound)
        )
        self.bias = nn.Parameter(torch.empty(members, 1, out_features).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Apply every layer to its own input."""
        return torch.baddbmm(self.bias, x, self.weight)


def trunk(
    linear: Callable[[int, int], nn.Module], inputs: int, hidden: int, depth: int
) -> nn.Sequential:
    """Return ``depth`` linear maps to ``hidden`` units, each with a site behind it."""
    layers = nn.Sequential()
    for i in range(1, depth + 1):
        layers.add_module(f"linear_{i}", linear(inputs if i == 1 else hidden, hidden))
        layers.add_module(f"activation_{i}", Site("relu"))
    return layers


class Critic(nn.Module):
    r"""Ensemble of value functions of an observation, and of an action where there is one.

    They share their sites.

    Shapes:
        input ``(N, inputs)``, output ``(E, N)``.

    Args:
        inputs: size of the observation, with the action where Q is estimated.
        hidden: units of a layer.
        depth: hidden layers.
        members: number of value functions E.
    """

    def __init__(self, inputs: int, hidden: int, depth: int, members: int) -> None:
        super().__init__()
        self.members = members
        self.trunk = trunk(partial(EnsembleLinear, members), inputs, hidden, depth)
        self.head = EnsembleLinear(members, hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return every member's estimate."""
        values: Tensor = self.head(self.trunk(x.expand(self.members, -1, -1))).squeeze(-1)
        return values


class Actor(nn.Module):
    r"""Gaussian policy squashed into a box: a = c + h y with y in (-1, 1).

    .. math::

        u \sim N(\mu(o), \sigma(o)^2), \quad y = \frac{\varphi(u) - m}{r}, \quad
        \log \pi(y) = \sum_i \log N(u_i; \mu_i, \sigma_i^2) - \log|\varphi'(u_i)| + \log r

    with m the middle and r half the length of φ's range. The change of variables is exact: φ states
    its own log-derivative, stable where φ saturates (for tanh, :math:`2(\log 2 - u -
    \mathrm{softplus}(-2u))`). The pre-squash sample u is kept, so that the inverse, which has lost
    its digits there, is never needed.

    Shapes:
        observations ``(N, observation)``, actions ``(N, action)``, log-densities ``(N,)``.

    Args:
        observation: size of an observation.
        action: size of an action.
        hidden: units of a layer.
        depth: hidden layers.

    References:
        Soft Actor-Critic: Off-Policy Maximum Entropy Deep Reinforcement Learning with a Stochastic
        Actor, T. Haarnoja, A. Zhou, P. Abbeel and S. Levine, 2018, https://arxiv.org/abs/1801.01290
    """

    def __init__(self, observation: int, action: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.trunk = trunk(nn.Linear, observation, hidden, depth)
        self.head = nn.Linear(hidden, 2 * action)
        self.squash = Site("tanh", requires="bounded and bijective")

    def forward(self, observation: Tensor) -> Tensor:
        """Return the deterministic action, that of u = μ, in (-1, 1)."""
        return self.action(self.gaussian(observation)[0])

    def gaussian(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation before squashing."""
        mean, log_std = self.head(self.trunk(observation)).chunk(2, -1)
        return mean, log_std.clamp(*LOG_STD)

    def sample(
        self, observation: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return pre-squash sample, action in (-1, 1) and log-density.

        All three are differentiable in the policy's parameters.
        """
        mean, log_std = self.gaussian(observation)
        noise = torch.randn_like(mean) if noise is None else noise
        u = mean + log_std.exp() * noise
        return u, self.action(u), self.log_density(u, mean, log_std)

    def action(self, u: Tensor) -> Tensor:
        """Squash into (-1, 1)."""
        middle, half = self.range()
        y: Tensor = self.squash(u)
        return y if (middle, half) == (0, 1) else (y - middle) / half

    def log_density(
        self, u: Tensor, mean: Tensor, log_std: Tensor, correction: bool = True
    ) -> Tensor:
        """Return the log-density of the action that u becomes.

        Without the correction, that of u itself.
        """
        density = (
            -0.5 * ((u - mean) * (-log_std).exp()).square() - log_std - 0.5 * math.log(2 * math.pi)
        )
        if correction:
            density = density - self.bijection.log_abs_derivative(u) + math.log(self.range()[1])
        return density.sum(-1)

    @property
    def bijection(self) -> Bijective:
        """What squashes, with its log-derivative.

        Raises:
            TaskError: what stands there states no log-derivative.
        """
        standing = self.squash.activation
        if not isinstance(standing, Bijective):
            name = getattr(standing, "name", type(standing).__name__)
            raise TaskError(
                f"squash must be a bijection that states its log-derivative, but got {name!r}."
                " Choose one of the space squashers."
            )
        return standing

    def range(self) -> tuple[float, float]:
        """Return middle and half length of the squash's range.

        Raises:
            TaskError: the range is not bounded, which only a forced placement can bring about.
        """
        bijection = self.bijection
        facts = bijection.declare(**bijection.values)
        low, high = float(facts["minimum"]), float(facts["maximum"])
        if not math.isfinite(high - low):
            raise TaskError(
                f"squash must be bounded, but {bijection.name} has range ({low}, {high})."
            )
        return (high + low) / 2, (high - low) / 2
