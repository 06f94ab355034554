"""What an activation is: a named elementwise function with parameters, fixed or learned."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.distributions import constraints, transform_to

from actsearch.errors import InvalidValueError, UnknownNameError

Share = Literal["layer", "channel"]
Value = float | Tensor
Elementwise = Callable[[Any, Tensor], Tensor]
BESIDE_PARAMETERS = ("learn", "share", "channels", "channel_dim")
"""What a specification says beside the values of parameters and options."""


@dataclass(frozen=True)
class Parameter:
    """A scalar parameter of an activation: fixed, searched or learned.

    Args:
        default: value when none is given.
        constraint: the set of allowed values. A learned parameter is stored unconstrained and
            mapped into the set by :func:`torch.distributions.transform_to`, so training cannot
            leave it.
        learn: whether it is learned unless the user says otherwise.
        symbol: how the formula writes it.
        learnable: whether it can be learned at all; not where its gradient is zero almost
            everywhere.
    """

    default: float
    constraint: constraints.Constraint = constraints.real
    learn: bool = False
    symbol: str = ""
    learnable: bool = True

    @property
    def bounds(self) -> tuple[float, float]:
        """The ends of the allowed set; either may be infinite."""
        low = getattr(self.constraint, "lower_bound", -math.inf)
        high = getattr(self.constraint, "upper_bound", math.inf)
        return float(low), float(high)

    def check(self, name: str, value: object) -> float:
        """Return ``value`` as a float.

        Raises:
            InvalidValueError: a value that breaks a rule, which the message says.
        """
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not math.isfinite(value)
        ):
            raise InvalidValueError(
                f"{name} must be a finite number, but got {value!r}. Its default is {self.default}."
            )
        given = torch.tensor(float(value), dtype=torch.float64, device="cpu")
        if not bool(self.constraint.check(given)):
            raise InvalidValueError(
                f"{name} must be in {self.constraint}, but got {value!r}. Default: {self.default}."
            )
        return float(value)


@dataclass(frozen=True)
class Option:
    """A structural choice of an activation, such as a degree or a list of members.

    It is never learned, and part of what the activation is.

    Args:
        default: value when none is given.
        choices: the allowed values, or ``None`` where the class itself checks.
        symbol: how the formula writes it, where it does.
    """

    default: Any
    choices: tuple[Any, ...] | None = None
    symbol: str = ""

    def check(self, name: str, value: Any) -> Any:
        """Return ``value``, or raise :class:`InvalidValueError` with the allowed choices."""
        if self.choices is not None and value not in self.choices:
            raise InvalidValueError(
                f"{name} must be one of {list(self.choices)}, but got {value!r}."
            )
        return value


def arguments_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments that :meth:`Activation.spec` stands for.

    Raises:
        InvalidValueError: a parameter called as what stands beside the parameters, such as
            ``learn``.
    """
    parameters = spec.get("parameters", {})
    for key in BESIDE_PARAMETERS:
        if key in parameters:
            raise InvalidValueError(
                f"parameters of {spec['activation']} must be its own, but got {key!r} among them."
                f" Write {key} beside them."
            )
    return {key: spec[key] for key in BESIDE_PARAMETERS if spec.get(key) is not None} | dict(
        parameters
    )


def at_least_single(function: Elementwise) -> Elementwise:
    """Evaluate a function of float16 in float32, where its parts would overflow."""

    @functools.wraps(function)
    def evaluate(self: Any, x: Tensor) -> Tensor:
        half = x.dtype == torch.float16
        return function(self, x.float()).to(x.dtype) if half else function(self, x)

    return evaluate


class Activation(nn.Module):
    r"""An elementwise function :math:`y = \varphi(x; \theta)` with named parameters :math:`\theta`.

    A member of the catalogue is a subclass, decorated with
    :func:`actsearch.activations.registry.register`, that states

    - ``name``: the field's standard name; the family is the file or folder that it stands in;
    - ``arguments``: its parameters and options, by name;
    - ``formula``: one line of text in Python's notation, with ``x`` and the parameters' symbols;
      ``reference`` is taken from the docstring's References;
    - :meth:`function`: the formula as code;
    - ``facts``, or :meth:`declare` where they depend on parameters: what is known analytically, by
      the names of :class:`Properties`. A learnable member declares for every value that its
      constraints allow.

    Laws, checked for every member by ``tests/laws``: shape, dtype and device of the input are kept;
    the function acts on each element alone (a per-channel parameter aside); every declared fact
    holds numerically; ``spec`` rebuilds it.

    Args:
        learn: names of the parameters to learn; ``None`` takes each parameter's own default.
        share: one learned value per layer, or one per channel.
        channels: number of channels; needed where ``share="channel"``.
        channel_dim: the dimension of the input that runs over channels.
        **values: parameter and option values by name; a learned parameter starts at its value.

    Shapes:
        input ``(*)``, output ``(*)``; with ``share="channel"`` the size of ``channel_dim`` must be
        ``channels``.

    Raises:
        UnknownNameError: a value or learned name that the activation does not have.
        InvalidValueError: a value outside of its constraint, or ``share="channel"`` without
            ``channels``.
    """

    name: ClassVar[str]
    arguments: ClassVar[Mapping[str, Parameter | Option]] = {}
    facts: ClassVar[Mapping[str, Any]] = {}
    formula: ClassVar[str] = ""
    reference: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "reference" not in cls.__dict__:  # written once, in the docstring
            own = inspect.cleandoc(cls.__doc__ or "")
            cls.reference = " ".join(own.partition("References:\n")[2].split())

    def __init__(
        self,
        /,
        *,
        learn: Iterable[str] | None = None,
        share: Share = "layer",
        channels: int | None = None,
        channel_dim: int = 1,
        **values: Any,
    ) -> None:
        super().__init__()
        for given in values:
            if given not in self.arguments:
                raise UnknownNameError.among(f"parameter of {self.name}", given, self.arguments)
        self.values = {
            key: argument.check(key, values.get(key, argument.default))
            for key, argument in self.arguments.items()
        }
        learnable = {
            key: argument
            for key, argument in self.arguments.items()
            if isinstance(argument, Parameter)
        }
        self.learn = (
            tuple(key for key, a in learnable.items() if a.learn)
            if learn is None
            else tuple(sorted(set(learn)))
        )
        for given in self.learn:
            if given not in learnable or not learnable[given].learnable:
                names = [key for key, argument in learnable.items() if argument.learnable]
                raise UnknownNameError.among(f"learnable parameter of {self.name}", given, names)
        if share not in ("layer", "channel"):
            raise InvalidValueError(f"share must be 'layer' or 'channel', but got {share!r}.")
        if share == "channel" and not channels:
            raise InvalidValueError(
                f"channels must be given where share is 'channel', but got {channels!r}."
            )
        self.share: Share = share
        self.channels = channels if share == "channel" else None
        self.channel_dim = channel_dim
        for key in self.learn:
            # On the processor, since a model may be made on the meta device, without numbers.
            size, number = (self.channels or 1,), self.values[key]
            start = torch.full(size, number, dtype=torch.float64, device="cpu")
            raw = transform_to(learnable[key].constraint).inv(start)
            if not bool(raw.isfinite().all()):
                raise InvalidValueError(
                    f"{key} must start inside of {learnable[key].constraint} to be learned, but got"
                    f" {self.values[key]!r}."
                )
            raw = raw.to(torch.get_default_device(), torch.get_default_dtype())
            self.register_parameter(f"raw_{key}", nn.Parameter(raw))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to every element of ``x``."""
        return self.function(x, **self.values_for(x))

    def values_for(self, x: Tensor) -> dict[str, Any]:
        """Return :meth:`current` in the dtype of ``x``.

        So the output keeps that dtype, under autocast too.
        """
        present = self.current(x.ndim)
        if present is self.values:
            return present
        for key, value in present.items():
            if isinstance(value, Tensor):
                value = value.to(x.dtype)
                one_number = not x.ndim and value.numel() == 1
                present[key] = value.reshape(()) if one_number else value
        return present

    def function(self, x: Tensor, *args: Any, **values: Any) -> Tensor:
        """Evaluate the formula on ``x``.

        Parameters are numbers, or tensors that broadcast against ``x``.
        """
        raise NotImplementedError

    @classmethod
    def declare(cls, *args: Any, **values: Any) -> dict[str, Any]:
        """Return the facts known analytically at these values, named as in :class:`Properties`."""
        return dict(cls.facts)

    def current(self, ndim: int = 0) -> dict[str, Any]:
        """Return every parameter's present value.

        Learned ones as tensors shaped for an input of ``ndim`` dimensions.
        """
        if not self.learn:
            return self.values
        present = dict(self.values)
        for key in self.learn:
            argument = self.arguments[key]
            raw = getattr(self, f"raw_{key}")
            assert isinstance(argument, Parameter), "learn holds Parameters only"
            free = argument.constraint is constraints.real
            value = raw if free else transform_to(argument.constraint)(raw)
            if self.share == "channel" and ndim:
                shape = [1] * ndim
                shape[self.channel_dim] = -1
                value = value.view(shape)
            present[key] = value
        return present

    def spec(self) -> dict[str, Any]:
        """Return the name, the start values and the sharing as plain data.

        The registry rebuilds it from these.
        """
        spec: dict[str, Any] = {"activation": self.name}
        if self.values:
            spec |= {"parameters": dict(self.values), "learn": list(self.learn)}
        if self.state_dict():  # something learned, or fixed coefficients of each channel
            spec["share"] = self.share
            if self.share == "channel":
                spec |= {"channels": self.channels, "channel_dim": self.channel_dim}
        return spec

    def has_learned(self) -> bool:
        """Whether training changes the function."""
        return any(True for _ in self.parameters(recurse=True))

    def rebuilt(self, **changes: Any) -> Self:
        """Return it built anew from its :meth:`spec`, some arguments or values changed."""
        return type(self)(**arguments_of(self.spec()) | changes)

    def plain(self) -> Self:
        """Return the function at its start values, nothing learned, in float64."""
        return self.rebuilt(learn=(), share="layer").double()

    def extra_repr(self) -> str:
        """Show parameters the way they are passed, learned ones with their present value.

        Of several channels it is the range.
        """
        parts = [f"{key}={self._shown(key)}" for key in self.values]
        if self.learn:
            parts.append(f"learn={list(self.learn)}")
        if self.share == "channel":
            parts.append(f"share='channel', channels={self.channels}")
        return ", ".join(parts)

    def _shown(self, key: str) -> str:
        start = self.values[key]
        if key not in self.learn:
            return repr(start)
        try:
            low, high = self.current()[key].detach().double().aminmax()
            ends = float(low), float(high)
        except RuntimeError:  # without numbers: on the meta device, or while it is traced
            return repr(start)
        if max(abs(end - start) for end in ends) <= 1e-6 * max(1.0, abs(start)):
            return repr(start)
        return "..".join(dict.fromkeys(f"{end:.4g}" for end in ends))
