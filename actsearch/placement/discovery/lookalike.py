"""Tell an activation that torch does not ship, by its behaviour or else by its class name."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch.placement.discovery.torch_functions import PARAMETERS, specification

# Names of classes, lower case and without "act" or "activation", that are known to be activations.
_CLASS_NAMES = {
    *(name.replace("_", "") for name in PARAMETERS if name not in ("sin", "erf", "threshold")),
    "swish", "hardswish", "hswish", "hsigmoid", "newgelu", "quickgelu", "fastgelu", "gelutanh",
    "clippedgelu", "laplace", "relusquared", "memoryefficientswish", "memoryefficientmish",
    "swishme", "mishme", "sine", "snake", "hardmish", "hardswishme", "hardsigmoidme", "hardmishme",
    "pytorchgelutanh", "accurategelu", "frelu",
}  # fmt: skip


def is_activation_module(module: nn.Module) -> bool:
    """Return whether a module acts on every element alone and is not affine.

    By its behaviour, or else by its name.
    """
    if type(module).__module__.startswith("torch.nn.modules"):
        return False  # torch's own activations are known by their type
    if next(module.children(), None) is not None or not _takes_one(module.forward):
        return False
    named = _normal(type(module).__name__) in _CLASS_NAMES
    if any(p.numel() > 1 or p.is_meta for p in module.parameters()):
        return named  # values by channel: a probe of another width would fail
    verdict = acts_elementwise(module)
    return named if verdict is None else verdict


def acts_elementwise(function: Callable[..., Any]) -> bool | None:
    """Return whether a callable is an elementwise nonlinearity; ``None`` where a probe fails."""
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(2, 4, 6, generator=generator)
    order = torch.randperm(x.numel(), generator=generator)
    try:
        probe = _without_trace(function)
        with torch.no_grad():
            y = probe(x.clone())
            if (
                not isinstance(y, Tensor)
                or y.shape != x.shape
                or y.dtype != x.dtype
                or y.device != x.device
            ):
                return False
            moved = probe(x.flatten()[order].reshape(x.shape))
            line = torch.linspace(-6.0, 6.0, 49)
            curve = probe(line.reshape(1, 7, 7).clone()).flatten()
    except Exception:  # whatever a stranger's code raises on a probe: nothing is known of it
        return None
    if not torch.allclose(moved.flatten(), y.flatten()[order], rtol=1e-5, atol=1e-6):
        return False
    straight = torch.lerp(curve[0], curve[-1], torch.linspace(0.0, 1.0, 49))
    return bool((curve - straight).abs().max() > 1e-3)


def identify(function: Callable[..., Any], otherwise: str) -> tuple[str, dict[str, Any]]:
    """Return the name of the torch function that a look-alike computes.

    With its specification where the bits agree.
    """
    x = torch.cat([torch.linspace(-8.0, 8.0, 2001), torch.linspace(-40.0, 40.0, 4001)])
    try:
        probe = _without_trace(function)
        with torch.no_grad():
            y = probe(x.clone())
    except Exception:  # as above
        return otherwise, {}
    if not isinstance(y, Tensor) or y.is_meta:
        return otherwise, {}
    for name, defaults in PARAMETERS.items():
        if name in ("prelu", "threshold", "rrelu"):
            continue
        for parameters in (defaults, {"approximate": "tanh"}) if name == "gelu" else (defaults,):
            plain = (getattr(F, name, None) or getattr(torch, name))(x, **parameters)
            if torch.equal(plain, y):
                return name, specification(name, parameters)
            if torch.allclose(plain, y, rtol=1e-5, atol=1e-6):
                return name, {}
    return otherwise, {}


def _without_trace(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a callable that a probe leaves no trace in.

    A copy in evaluation mode where it is a module.
    """
    return copy.deepcopy(function).eval() if isinstance(function, nn.Module) else function


def _takes_one(function: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.default is p.empty and p.kind in positional]
    return len(required) == 1 and not any(p.kind is p.VAR_POSITIONAL for p in parameters)


def _normal(name: str) -> str:
    lowered = name.lower().replace("_", "")
    for ending in ("activation", "act"):
        lowered = lowered.removesuffix(ending)
    return lowered


def is_activation_function(name: str, function: Any) -> bool:
    """Return whether a function held as an attribute is named and behaves like an activation."""
    words = ("act", "nonlin", "relu", "swish", "silu", "gelu", "mish", "squash", "sigma")
    if not any(word in name.lower() for word in words) or not _takes_one(function):
        return False
    return acts_elementwise(function) is True
