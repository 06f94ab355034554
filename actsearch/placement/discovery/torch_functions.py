"""Every spelling of a nonlinearity in torch, and the catalogue's entry for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch.activations import catalogue, from_spec
from actsearch.activations.base import Activation
from actsearch.errors import ActsearchError

# Parameters after the input, by torch's functional name, in the order of its signature with torch's
# defaults.
PARAMETERS: dict[str, dict[str, Any]] = {
    "relu": {}, "relu6": {}, "selu": {}, "silu": {}, "mish": {}, "tanh": {}, "sigmoid": {},
    "hardswish": {}, "hardsigmoid": {}, "softsign": {}, "tanhshrink": {}, "logsigmoid": {},
    "sin": {}, "erf": {},
    "leaky_relu": {"negative_slope": 0.01},
    "prelu": {"weight": None},
    "rrelu": {"lower": 1 / 8, "upper": 1 / 3},
    "elu": {"alpha": 1.0},
    "celu": {"alpha": 1.0},
    "gelu": {"approximate": "none"},
    "softplus": {"beta": 1.0, "threshold": 20.0},
    "hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "hardshrink": {"lambd": 0.5},
    "softshrink": {"lambd": 0.5},
    "threshold": {"threshold": None, "value": None},
}  # fmt: skip
# Act across elements: never sites.
NORMALISED = ("softmax", "log_softmax", "softmin", "gumbel_softmax", "softmax2d")
# A gate where they multiply something, a head where they end.
SQUASHING = ("sigmoid", "hardsigmoid", "logsigmoid")
# A clamp between these is an activation.
CLAMPS: dict[tuple[Any, Any], str] = {
    (0.0, None): "relu",
    (0.0, 6.0): "relu6",
    (-1.0, 1.0): "hardtanh",
}


@dataclass(frozen=True)
class Spelling:
    """One of torch's callables for a nonlinearity.

    Args:
        name: torch's functional name.
        inplace: whether it always overwrites its input (``relu_``).
        plain: the callable that does the same and does not.
    """

    name: str
    inplace: bool
    plain: Callable[..., Any]


@dataclass(frozen=True)
class Called:
    """What one call does: the function's name and its parameters, out of place."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    inplace: bool = False


def _spellings() -> dict[Any, Spelling]:
    found: dict[Any, Spelling] = {}
    names = {name: name for name in (*PARAMETERS, *NORMALISED, "glu", "clamp")}
    names |= {
        "expit": "sigmoid",
        "log_sigmoid": "logsigmoid",
        "clip": "clamp",
        "clamp_min": "clamp_min",
    }
    for holder in (torch, torch.special, torch._C._nn, torch.Tensor, F):
        for alias, name in names.items():
            plain = getattr(holder, alias, None)
            if plain is not None:
                found[plain] = Spelling(name, False, plain)
            if plain is not None and getattr(holder, f"{alias}_", None) is not None:
                found[getattr(holder, f"{alias}_")] = Spelling(name, True, plain)
    return found


SPELLINGS: Mapping[Any, Spelling] = _spellings()

TORCH_MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu", nn.ReLU6: "relu6", nn.SELU: "selu", nn.SiLU: "silu", nn.Mish: "mish",
    nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.Hardswish: "hardswish",
    nn.Hardsigmoid: "hardsigmoid", nn.Softsign: "softsign", nn.Tanhshrink: "tanhshrink",
    nn.LogSigmoid: "logsigmoid", nn.LeakyReLU: "leaky_relu", nn.PReLU: "prelu",
    nn.RReLU: "rrelu", nn.ELU: "elu", nn.CELU: "celu", nn.GELU: "gelu", nn.Softplus: "softplus",
    nn.Hardtanh: "hardtanh", nn.Hardshrink: "hardshrink", nn.Softshrink: "softshrink",
    nn.Threshold: "threshold", nn.Softmax: "softmax", nn.LogSoftmax: "log_softmax",
    nn.Softmin: "softmin", nn.Softmax2d: "softmax2d",
}  # fmt: skip


def called(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Called | None:
    """Return which nonlinearity a call is, or ``None`` for any other call."""
    try:
        spelling = SPELLINGS.get(function)
    except TypeError:  # not hashable, so none of torch's
        return None
    if spelling is None:
        return None
    if spelling.name in ("clamp", "clamp_min"):
        bounds = dict(zip(("min", "max"), args[1:], strict=False)) | dict(kwargs)
        low, high = bounds.get("min"), bounds.get("max")
        if isinstance(low, Tensor) or isinstance(high, Tensor) or (low, high) not in CLAMPS:
            return None
        name = CLAMPS[low, high]
        return Called(name, dict(PARAMETERS[name]), spelling.inplace)
    defaults = PARAMETERS.get(spelling.name, {})
    names = (*defaults, "inplace")
    given = dict(zip(names, args[1:], strict=False)) | {
        k: v for k, v in kwargs.items() if k in names
    }
    inplace = bool(given.pop("inplace", False)) or spelling.inplace
    return Called(spelling.name, {**defaults, **given}, inplace)


def without_inplace(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Do what the call does, but leave its input as it is."""
    spelling = SPELLINGS[function]
    arguments = dict(kwargs)
    position = 1 + len(PARAMETERS.get(spelling.name, {}))
    if "inplace" in arguments:
        arguments["inplace"] = False
    if len(args) > position and args[position] is True:
        args = (*args[:position], False, *args[position + 1 :])
    return spelling.plain(*args, **arguments)


def describe(module: Any) -> tuple[str, dict[str, Any]]:
    """Return the catalogue name and specification of a module.

    The specification is given only where the catalogue's entry gives the same bits, so that putting
    back what stood there changes nothing; else it is empty.
    """
    if isinstance(module, Activation):
        spec = module.spec()
        return spec["activation"], spec
    name = TORCH_MODULES.get(type(module))
    if name is None:
        return type(module).__name__, {}
    if isinstance(module, nn.PReLU):
        return name, _describe_prelu(module)
    return name, specification(
        name, {key: getattr(module, key) for key in PARAMETERS.get(name, {})}
    )


def _describe_prelu(module: nn.PReLU) -> dict[str, Any]:
    weight = module.weight.detach()
    if weight.is_meta or "prelu" not in catalogue() or bool((weight != weight[0]).any()):
        return {}  # slopes that differ by channel have no place in a file
    spec: dict[str, Any] = {
        "activation": "prelu",
        "parameters": {"negative_slope": float(weight[0])},
    }
    if weight.numel() > 1:
        spec |= {"share": "channel", "channels": weight.numel(), "channel_dim": 1}
    return spec


def specification(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the catalogue's specification for a function of torch at these parameters.

    Empty where there is none.
    """
    try:
        return dict(_specification(name, tuple(sorted(parameters.items()))))
    except TypeError:  # a parameter is a tensor
        return {}


@cache
def _specification(name: str, parameters: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    entry = catalogue().get(name)
    function = getattr(F, name, None) or getattr(torch, name, None)
    if (
        entry is None or function is None or name in ("rrelu", "prelu")
    ):  # random, or with a parameter of its own
        return {}
    spec: dict[str, Any] = {"activation": name}
    given = {key: value for key, value in parameters if key in entry.arguments}
    if given:
        spec["parameters"] = given
    try:
        candidate = from_spec(spec)
    except ActsearchError:
        return {}
    return spec if same_bits(candidate, lambda x: function(x, **dict(parameters))) else {}


def same_bits(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> bool:
    """Return whether two functions agree bit for bit on a single-precision grid, wide and fine."""
    x = torch.cat(
        [
            torch.linspace(-30, 30, 6001),
            torch.linspace(-4, 4, 8001),
            torch.tensor([0.0, -0.0, 1e-8, 1e4, -1e4]),
        ]
    )
    with torch.no_grad():
        return torch.equal(first(x), second(x))
