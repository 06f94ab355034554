"""Layers of leaky integrate-and-fire neurons, and a leaky readout.

The neurons' surrogate gradient is a site.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from actsearch import Site

# What only the Heaviside step with a surrogate gradient has: it jumps from 0 to 1, and is 0 for
# half of all inputs.
HEAVISIDE = "smoothness == -1 and minimum == 0 and maximum == 1 and sparsity == 0.5"


class SpikingLayer(nn.Module):
    r"""Linear layer of leaky integrate-and-fire neurons, reset by subtraction.

    .. math::

        I_t = W x_t + b, \quad u_t = \beta u_{t-1} + I_t - \theta s_{t-1},
        \quad s_t = \Theta(u_t - \theta), \quad u_0 = s_0 = 0

    No gradient flows through the reset. Step for step, forward and backward, it equals
    ``snntorch.Leaky`` with the same surrogate, which evaluates the surrogate twice a step.

    Shapes:
        input ``(T, N, D)``; currents and spikes ``(T, N, H)``.

    Args:
        inputs: size of the input D.
        neurons: number of neurons H.
        decay: membrane decay :math:`\beta` per time step, in [0, 1].
        threshold: firing threshold :math:`\theta`, above 0.

    References:
        Training Spiking Neural Networks Using Lessons From Deep Learning, J. Eshraghian et al.,
        2021, https://arxiv.org/abs/2109.12894
    """

    def __init__(self, inputs: int, neurons: int, decay: float, threshold: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, neurons)
        self.surrogate = Site("arctan_surrogate", requires=HEAVISIDE)
        self.decay = decay
        self.threshold = threshold

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input currents and the spikes of every time step."""
        currents = self.linear(x)
        potential = spike = torch.zeros_like(currents[0])
        spikes = []
        for current in currents:
            potential = self.decay * potential + current - self.threshold * spike.detach()
            spike = self.surrogate(potential - self.threshold)
            spikes.append(spike)
        return currents, torch.stack(spikes)


class Activity(NamedTuple):
    """What a network did.

    Its logits ``(N, C)``, and of each spiking layer currents and spikes ``(T, N, H)``.
    """

    logits: Tensor
    currents: list[Tensor]
    spikes: list[Tensor]


class SpikingNetwork(nn.Module):
    r"""Spiking layers and a readout that integrates without firing.

    The logits are its mean potential over time.

    .. math:: v_t = \beta v_{t-1} + V s_t + c, \quad \text{logits} = \frac1T \sum_t v_t

    Shapes:
        input ``(N, T, D)``, output logits ``(N, C)``.

    Args:
        inputs: size of the input D.
        hidden: neurons of a layer.
        depth: number of spiking layers.
        classes: number of classes C.
        decay: membrane decay :math:`\beta` of every layer.
        threshold: firing threshold.
    """

    def __init__(
        self, inputs: int, hidden: int, depth: int, classes: int, decay: float, threshold: float
    ) -> None:
        super().__init__()
        self.layers = [f"layer_{i + 1}" for i in range(depth)]
        for name in self.layers:
            self.add_module(name, SpikingLayer(inputs, hidden, decay, threshold))
            inputs = hidden
        self.readout = nn.Linear(hidden, classes)
        self.decay = decay

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.run(x).logits

    def run(self, x: Tensor) -> Activity:
        """Return the logits with what every layer did."""
        signal = x.transpose(0, 1)
        currents, spikes = [], []
        for name in self.layers:
            current, signal = self.get_submodule(name)(signal)
            currents.append(current)
            spikes.append(signal)
        # Σ_t v_t of a leaky integrator is a weighted sum of its inputs: each echoes with β, β², ...
        # to the end.
        steps = len(signal)
        left = torch.arange(steps, 0, -1, device=x.device, dtype=x.dtype)
        echo = (1 - self.decay**left) / (1 - self.decay) if self.decay < 1 else left
        pooled = torch.einsum("t,tnh->nh", echo, signal)
        logits = (pooled @ self.readout.weight.T + echo.sum() * self.readout.bias) / steps
        return Activity(logits, currents, spikes)
