"""Start a learnable activation at the function that it replaces, where its form reproduces it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn

from actsearch.activations.base import Activation
from actsearch.errors import InvalidValueError

INPUT_REACH = 6.0  # inputs beyond six standard deviations do not count
START_TOLERANCE = 1e-3
"""Largest difference over [-6, 6] at which a form still reproduces a function."""
LEAST_SENSITIVITY = 1e-3
"""Least sensitivity of the output to each free parameter from which training can move it.

0.07 is the catalogue's least.
"""
NORMAL_QUANTILES = torch.distributions.Normal(0.0, 1.0).icdf(
    (torch.arange(256, dtype=torch.float64) + 0.5) / 256
)


def start_at(
    module: Activation, function: Callable[[Tensor], Any], free: Collection[str]
) -> tuple[Activation, float | None]:
    r"""Return the activation started at a function that its form reproduces.

    Else as it is, at its own defaults.

    The weighted squared difference

    .. math:: \int_{-6}^{6} (\varphi_\theta(x) - f(x))^2 \, e^{-x^2 / 8} \, dx

    is minimised in double precision over the free parameters. A rounder value is taken where it is
    no worse, so that PReLU starts at the slope 0 where a ReLU stood, and not near it. The result
    counts where it differs from :math:`f` by at most :data:`START_TOLERANCE` over [-6, 6], and
    where every free parameter as it is stored, without its constraint, has

    .. math:: \sqrt{\mathbb{E}_{x \sim N(0, 1)} (\partial \varphi / \partial \theta)^2} \ge s,

    s being :data:`LEAST_SENSITIVITY`.

    A nearest function that is not near is a straight line where tanh meets swish; one without a
    gradient, such as swish with :math:`\beta = 750` for ReLU, stays what it is however long it
    trains.

    Args:
        module: an activation with learned parameters.
        function: what it replaces.
        free: names of the learned parameters that may move; the others keep their values.

    Returns:
        the activation, and its largest difference from the function over [-6, 6]; ``None`` where it
        starts as it is.
    """
    x = torch.linspace(-INPUT_REACH, INPUT_REACH, 1201, dtype=torch.float64)
    target = _values_of(function, x)
    weight = torch.exp(-x.square() / 8)
    twin = module.rebuilt(learn=sorted(free), share="layer").double()

    def loss(y: Tensor) -> Tensor:
        return ((y - target).square() * weight).mean()

    parameters = list(twin.parameters())
    with torch.enable_grad():
        optimizer = torch.optim.LBFGS(
            parameters,
            max_iter=200,
            tolerance_grad=1e-14,
            tolerance_change=1e-16,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = loss(twin(x))
            torch.autograd.backward(value)
            return value

        optimizer.step(closure)
    if not all(torch.isfinite(p).all() for p in parameters):
        return module, None
    with torch.no_grad():
        values: dict[str, Any] = module.values
        fitted = {key: float(value) for key, value in twin.current().items() if key in free}
        values = _rounded(twin, values | fitted, fitted, lambda y: float(loss(y)), x)
        difference = float((twin.function(x, **values) - target).abs().max())
    if not difference <= START_TOLERANCE:  # NaN does not reproduce anything either
        return module, None
    try:
        fresh = module.rebuilt(**values)
    except InvalidValueError:  # at the very end of its constraint, from where nothing learns
        return module, None
    return (
        (fresh, difference)
        if min(sensitivities(fresh, free).values()) >= LEAST_SENSITIVITY
        else (module, None)
    )


def sensitivities(module: Activation, names: Collection[str]) -> dict[str, float]:
    """Return the root mean square derivative of the output by each stored parameter.

    Over x ~ N(0, 1).
    """
    # A channel for each point, so that one backward pass gives the derivative at every point.
    twin = module.rebuilt(
        learn=sorted(names), share="channel", channels=len(NORMAL_QUANTILES), channel_dim=0
    ).double()
    with torch.enable_grad():
        torch.autograd.backward(twin(NORMAL_QUANTILES).sum())
    raw = {name: getattr(twin, f"raw_{name}").grad for name in names}
    return {name: float(gradient.square().mean().sqrt()) for name, gradient in raw.items()}


def _rounded(
    twin: Activation,
    values: dict[str, Any],
    fitted: dict[str, float],
    loss: Callable[[Tensor], float],
    x: Tensor,
) -> dict[str, Any]:
    """Return the fitted values with as few digits as do not make the fit worse."""
    values = dict(values)
    for key in fitted:
        best = loss(twin.function(x, **values))
        for digits in range(5):
            trial = values | {key: round(fitted[key], digits) + 0.0}
            try:
                twin.rebuilt(**trial)
            except InvalidValueError:
                continue
            if loss(twin.function(x, **trial)) <= best + 1e-12:
                values = trial
                break
    return values


def _values_of(function: Callable[[Tensor], Any], x: Tensor) -> Tensor:
    own = next(function.parameters(), None) if isinstance(function, nn.Module) else None
    with torch.no_grad():  # a module in its own precision, on its own device
        return torch.as_tensor(function(x.clone() if own is None else x.to(own))).to(x)
