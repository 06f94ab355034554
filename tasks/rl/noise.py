"""What a policy's noise does: entropy, where actions fall, how it shakes the gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from actsearch.measures.functional.gradient_variance import gradient_variance

from .networks import Actor

DRAWS = 16


@dataclass(frozen=True)
class PolicyNoise:
    """What was measured.

    Args:
        entropy: in nats, of actions in (-1, 1).
        valid: share of the sampled actions inside of [-1, 1].
        variance: total variance of the gradient over the noise.
        variance_uncorrected: the same without the change-of-variables term, on the same noise.
    """

    entropy: float
    valid: float
    variance: float
    variance_uncorrected: float


def policy_noise(
    actor: Actor,
    observation: Tensor,
    value: Callable[[Tensor], Tensor | None],
    temperature: Tensor | float,
) -> PolicyNoise:
    r"""Measure a policy under fixed noise.

    .. math:: L = \frac1N \sum_n \alpha \log \pi(a_n|o_n) - Q(o_n, a_n)

    Args:
        actor: the policy.
        observation: where to measure, ``(N, observation)``.
        value: Q of observations with actions; ``None`` where the loss has no such term.
        temperature: :math:`\alpha`.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (DRAWS, len(observation), actor.head.out_features // 2)
    noise = torch.randn(shape, generator=generator).to(observation.device)

    def loss(draw: int, correction: bool) -> Tensor:
        mean, log_std = actor.gaussian(observation)
        u = mean + log_std.exp() * noise[draw]
        entropy_term = temperature * actor.log_density(u, mean, log_std, correction)
        q = value(torch.cat([observation, actor.action(u)], -1))
        return (entropy_term if q is None else entropy_term - q).mean()

    with torch.no_grad():
        _, action, log_density = actor.sample(observation, noise[0])
    parameters = list(actor.parameters())
    return PolicyNoise(
        entropy=-float(log_density.mean()),
        valid=float((action.abs() <= 1).all(-1).float().mean()),
        variance=gradient_variance(lambda draw: loss(draw, True), parameters, DRAWS),
        variance_uncorrected=gradient_variance(lambda draw: loss(draw, False), parameters, DRAWS),
    )
