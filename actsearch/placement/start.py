"""Start a learnable activation at the function that it replaces: exactly where its form can, by a fit where not."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn

from actsearch.activations.base import Activation
from actsearch.errors import InvalidValueError

REACH = 6.0  # inputs beyond six standard deviations do not count


def started(module: Activation, function: Callable[[Tensor], Any], free: Collection[str]) -> tuple[Activation, float]:
    r"""Return the activation started as near as its form can be to a function, and how near that is.

    The weighted squared difference

    .. math:: \int_{-6}^{6} (\varphi_\theta(x) - f(x))^2 \, e^{-x^2 / 8} \, dx

    is minimised in double precision over the free parameters. A rounder value is taken where it is no worse, so that
    PReLU starts at the slope 0 where a ReLU stood, and not near it.

    Args:
        module: an activation with learned parameters.
        function: what it replaces.
        free: names of the learned parameters that may move; the others keep their values.

    Returns:
        the activation, and the largest difference over [-6, 6].
    """
    x = torch.linspace(-REACH, REACH, 1201, dtype=torch.float64)
    target = _evaluate(function, x)
    weight = torch.exp(-x.square() / 8)
    start: dict[str, Any] = {"learn": sorted(free), **module.values}
    twin = type(module)(**start).double()

    def loss(y: Tensor) -> Tensor:
        return ((y - target).square() * weight).mean()

    parameters = list(twin.parameters())
    with torch.enable_grad():
        optimizer = torch.optim.LBFGS(
            parameters, max_iter=200, tolerance_grad=1e-14, tolerance_change=1e-16, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = loss(twin(x))
            torch.autograd.backward(value)
            return value

        optimizer.step(closure)
    with torch.no_grad():
        values = dict(module.values)
        fitted = {key: float(value) for key, value in twin.current().items() if key in free}
        if all(torch.isfinite(p).all() for p in parameters):
            values |= _rounded(twin, values | fitted, fitted, lambda y: float(loss(y)), x)
        sharing: dict[str, Any] = {
            "share": module.share,
            "channels": module.channels,
            "channel_dim": module.channel_dim,
        }
        sharing |= values
        fresh = type(module)(learn=module.learn, **sharing)
        difference = float((twin.function(x, **values) - target).abs().max())
    return fresh, difference


def _rounded(
    twin: Activation, values: dict[str, Any], fitted: dict[str, float], loss: Callable[[Tensor], float], x: Tensor
) -> dict[str, Any]:
    """Return the fitted values with as few digits as do not make the fit worse."""
    values = dict(values)
    for key in fitted:
        best = loss(twin.function(x, **values))
        for digits in range(5):
            trial = values | {key: round(fitted[key], digits) + 0.0}
            try:
                twin.arguments[key].check(key, trial[key])
                type(twin)(learn=twin.learn, **trial)
            except InvalidValueError:
                continue
            if loss(twin.function(x, **trial)) <= best + 1e-12:
                values = trial
                break
    return values


def _evaluate(function: Callable[[Tensor], Any], x: Tensor) -> Tensor:
    own = next(function.parameters(), None) if isinstance(function, nn.Module) else None
    with torch.no_grad():  # a module in its own precision, on its own device
        return torch.as_tensor(function(x.clone() if own is None else x.to(own))).to(x)
