"""What a policy's noise does: entropy, where actions fall, how it shakes the gradient."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from actsearch.measures.functional.gradient_variance import gradient_variance

from .networks import Actor, Critic

DRAWS = 16


def policy_noise(
    actor: Actor,
    observation: Tensor,
    critic: Critic | None,
    temperature: Tensor | float,
) -> dict[str, float]:
    r"""Measure a policy under fixed noise, by the names that are logged.

    .. math:: L = \frac1N \sum_n \alpha \log \pi(a_n|o_n) - Q(o_n, a_n)

    ``val_entropy`` in nats, of actions in (-1, 1); ``valid_actions``, the share of the sampled
    actions inside of [-1, 1]; ``gradient_variance``, the total variance of the gradient of L over
    the noise; ``gradient_variance_uncorrected``, the same without the change-of-variables term, on
    the same noise.

    Args:
        actor: the policy.
        observation: where to measure, ``(N, observation)``.
        critic: Q, of which the least member counts; ``None`` where the loss has no such term.
        temperature: :math:`\alpha`.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (DRAWS, len(observation), actor.head.out_features // 2)
    noise = torch.randn(shape, generator=generator).to(observation.device)

    def loss(draw: int, correction: bool) -> Tensor:
        mean, log_std = actor.gaussian(observation)
        u = mean + log_std.exp() * noise[draw]
        entropy_term = temperature * actor.log_density(u, mean, log_std, correction)
        if critic is None:
            return entropy_term.mean()
        q: Tensor = critic(torch.cat([observation, actor.action(u)], -1)).amin(0)
        return (entropy_term - q).mean()

    with torch.no_grad():
        _, action, log_density = actor.sample(observation, noise[0])
    parameters = list(actor.parameters())
    variance, uncorrected = (
        gradient_variance(partial(loss, correction=correction), parameters, DRAWS)
        for correction in (True, False)
    )
    return {
        "val_entropy": -float(log_density.mean()),
        "valid_actions": float((action.abs() <= 1).all(-1).float().mean()),
        "gradient_variance": variance,
        "gradient_variance_uncorrected": uncorrected,
    }
