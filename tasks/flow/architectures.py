"""Normalizing flows from zuko's transforms, every nonlinearity a site.

A flow is a list of steps from data to a standard normal distribution. Elementwise bijections are
sites named ``bijection_1.activation``; the activations of a conditioner, the network that computes
a step's parameters from other features, are sites named ``step_1.hyper.activation_1``.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform, Independent, Normal, Transform

from actsearch import Site
from actsearch.errors import InvalidValueError, TaskError

try:
    from zuko.distributions import NormalizingFlow
    from zuko.flows.autoregressive import MaskedAutoregressiveTransform
    from zuko.flows.coupling import GeneralCouplingTransform
    from zuko.transforms import (
        ComposedTransform,
        LULinearTransform,
        MonotonicAffineTransform,
        MonotonicRQSTransform,
        RotationTransform,
    )
except ImportError as error:
    raise TaskError(
        f"flow needs zuko, which cannot be imported: {error}. Install it with pip install zuko."
    ) from error

from .bijection import ElementwiseBijection

Architecture = Literal["linear", "coupling", "autoregressive"]
Mixing = Literal["lu", "rotation"]
Univariate = Literal["affine", "spline"]


class Mix(nn.Module):
    r"""A learned linear map of the features and a shift.

    ``lu``: :math:`y = LUx + b`, L with a positive diagonal, so that it never loses its inverse;
    ``rotation``: :math:`y = e^s \odot Rx + b` with R orthogonal.

    References:
        Glow: Generative Flow with Invertible 1x1 Convolutions, D. Kingma and P. Dhariwal, 2018,
        https://arxiv.org/abs/1807.03039
    """

    def __init__(self, features: int, kind: Mixing) -> None:
        super().__init__()
        self.kind = kind
        self.matrix = nn.Parameter(torch.randn(features, features) * (0.3 / features**0.5))
        self.log_scale = nn.Parameter(torch.zeros(features))
        self.shift = nn.Parameter(torch.zeros(features))

    def forward(self) -> Transform:
        """Return the change of variables with the present parameters."""
        if self.kind == "rotation":
            affine = AffineTransform(self.shift, self.log_scale.exp(), event_dim=1)
            rotation = RotationTransform(
                self.matrix.double()
            )  # in float32 its inverse would not be its transpose
            rotation.R = rotation.R.to(self.matrix.dtype)
            return cast(Transform, ComposedTransform(rotation, affine))
        triangles = self.matrix.tril(-1) + self.matrix.triu(1) + torch.diag(self.log_scale.exp())
        affine = AffineTransform(self.shift, 1.0, event_dim=1)
        return cast(Transform, ComposedTransform(LULinearTransform(triangles), affine))


class NormalFlow(nn.Module):
    r"""Steps from data to a standard normal distribution.

    .. math:: \log p(x) = \log N(f(x); 0, I) + \log\left|\det \frac{\partial f}{\partial x}\right|

    Shapes:
        input ``(N, features)``, output ``(N,)``.

    Args:
        features: number of features D.
        steps: modules by name; each returns its change of variables when called.
    """

    location: Tensor
    scale: Tensor

    def __init__(self, features: int, steps: OrderedDict[str, nn.Module]) -> None:
        super().__init__()
        self.order = tuple(steps)
        for name, step in steps.items():
            self.add_module(name, step)
        self.register_buffer("location", torch.zeros(features), persistent=False)
        self.register_buffer("scale", torch.ones(features), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the log-density of every row, in nats."""
        density: Tensor = self.distribution().log_prob(x)
        return density

    def distribution(self) -> Any:
        """Return the distribution with the present parameters.

        It has ``log_prob``, ``sample`` and its ``transform``.
        """
        # Values are not validated: a diverged training ends as a loss of NaN, not as an exception.
        base = Independent(
            Normal(self.location, self.scale, validate_args=False), 1, validate_args=False
        )
        return NormalizingFlow(
            ComposedTransform(*(self.get_submodule(name)() for name in self.order)), base
        )


def named(layers: nn.Sequential) -> nn.Sequential:
    """Return zuko's alternating layers as ``linear_1``, ``activation_1``, ``linear_2``, ..."""
    pairs = (("linear", "activation")[i % 2] + f"_{i // 2 + 1}" for i in range(len(layers)))
    return nn.Sequential(OrderedDict(zip(pairs, layers, strict=True)))


@dataclass(frozen=True)
class Conditioner:
    """What computes a step's parameters from other features: the task's options of these names."""

    hidden: int
    layers: int
    univariate: Univariate
    bins: int

    def options(self) -> dict[str, Any]:
        """Return zuko's arguments of a step."""
        shared = {
            "hidden_features": (self.hidden,) * self.layers,
            "activation": partial(Site, "relu"),
        }
        if self.univariate == "affine":
            return {"univariate": MonotonicAffineTransform, "shapes": [(), ()], **shared}
        shapes = [(self.bins,), (self.bins,), (self.bins - 1,)]
        return {"univariate": MonotonicRQSTransform, "shapes": shapes, **shared}


def build_flow(
    architecture: Architecture,
    features: int,
    depth: int,
    mixing: Mixing,
    conditioner: Conditioner,
    bijection_sites: bool,
) -> NormalFlow:
    """Build a flow; the arguments are those of the task.

    Raises:
        InvalidValueError: a flow with a conditioner, of a single feature.
    """
    steps: OrderedDict[str, nn.Module] = OrderedDict()
    if architecture == "linear":
        for number in range(1, depth + 1):
            steps[f"mix_{number}"] = Mix(features, mixing)
            # Slope 1/2: a small slope squeezes half of the space at each step, and several are hard
            # to train away.
            steps[f"bijection_{number}"] = ElementwiseBijection(
                "learnable_leaky_relu", negative_slope=0.5
            )
        steps[f"mix_{depth + 1}"] = Mix(features, mixing)
        return NormalFlow(features, steps)
    if features < 2:
        raise InvalidValueError(
            f"{architecture} must be given at least two features, but got {features}. Use linear."
        )
    forward, options = torch.arange(features), conditioner.options()
    for number in range(1, depth + 1):
        if architecture == "coupling":
            step = GeneralCouplingTransform(features, mask=forward % 2 == number % 2, **options)
        else:
            order = forward if number % 2 else forward.flip(0)
            step = MaskedAutoregressiveTransform(features, order=order, **options)
        step.hyper = named(step.hyper)
        steps[f"step_{number}"] = step
        if bijection_sites:
            steps[f"bijection_{number}"] = ElementwiseBijection("identity")
    return NormalFlow(features, steps)
