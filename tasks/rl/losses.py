"""The losses of soft actor-critic and of proximal policy optimisation, with advantages."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .experience import TransitionBatch
from .networks import Actor


@torch.no_grad()
def soft_target(
    batch: TransitionBatch,
    actor: Actor,
    target: Callable[[Tensor], Tensor],
    temperature: Tensor,
    discount: float,
) -> Tensor:
    r"""Return what Q should be, from the least optimistic member of the target ensemble.

    .. math:: r + \gamma (1 - d) \left(\min_e \bar Q_e(o', a') - \alpha \log \pi(a'|o')\right),
        \quad a' \sim \pi

    Shapes:
        ``(N,)``.

    Args:
        batch: transitions.
        actor: the policy.
        target: the target ensemble, of observations with actions.
        temperature: :math:`\alpha`.
        discount: :math:`\gamma`.
    """
    after = batch["next_observation"]
    _, action, log_density = actor.sample(after)
    value = target(torch.cat([after, action], -1)).amin(0) - temperature * log_density
    result: Tensor = batch["reward"] + discount * (1 - batch["terminated"]) * value
    return result


def generalised_advantages(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    ended: Tensor,
    discount: float,
    trace: float,
) -> Tensor:
    r"""Return generalised advantage estimates of a rollout.

    .. math:: \hat A_t = \delta_t + \gamma\lambda\,(1 - e_t)\,\hat A_{t+1}, \quad
        \delta_t = r_t + \gamma (1 - d_t) V(o_{t+1}) - V(o_t)

    with d where the episode terminated (nothing follows) and e where it ended for any reason (what
    follows is another).

    Shapes:
        all ``(T, N)``.

    Args:
        reward: :math:`r_t`.
        value: :math:`V(o_t)`.
        next_value: :math:`V(o_{t+1})` of what followed the action, before a restart.
        terminated: :math:`d_t`, 0 or 1.
        ended: :math:`e_t`, 0 or 1.
        discount: :math:`\gamma`.
        trace: :math:`\lambda`.

    References:
        High-Dimensional Continuous Control Using Generalized Advantage Estimation, J. Schulman et
        al., 2015, https://arxiv.org/abs/1506.02438
    """
    delta = reward + discount * (1 - terminated) * next_value - value
    advantage = torch.zeros_like(delta)
    following = torch.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        following = delta[t] + discount * trace * (1 - ended[t]) * following
        advantage[t] = following
    return advantage


def clipped_objective(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    r"""Return the loss of proximal policy optimisation.

    .. math:: -\frac1N \sum_n \min(\rho_n \hat A_n,
        \mathrm{clip}(\rho_n, 1 - \epsilon, 1 + \epsilon) \hat A_n)

    Args:
        ratio: :math:`\rho`, new density over old.
        advantage: :math:`\hat A`.
        clip: :math:`\epsilon`.

    References:
        Proximal Policy Optimization Algorithms, J. Schulman et al., 2017,
        https://arxiv.org/abs/1707.06347
    """
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()
