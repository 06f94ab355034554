"""Activations whose shape itself is learned, by a tensor of coefficients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch.activations.base import Activation, Share
from actsearch.activations.registry import activation
from actsearch.errors import InvalidValueError, UnknownNameError

COEFFICIENTS = "coefficients"


class Flexible(Activation):
    r"""An activation :math:`y = \varphi(x; c)` with learned coefficients per layer or per channel.

    There are :math:`n` coefficients in a vector.

    A member states, beside what :class:`Activation` asks for (its ``arguments`` are options),

    - :meth:`start`: the coefficients to begin with;
    - :meth:`Activation.function`, which takes ``coefficients`` of shape :math:`(n)` or, with one
      vector a channel, :math:`(n, 1, \dots, C, \dots, 1)`: in either case ``coefficients[i]``
      broadcasts against ``x``.

    Numerics: evaluated in the wider of the dtypes of input and coefficients, in float32 at least
    where that is float16; returned in that of the input.

    Args:
        learn: ``["coefficients"]`` (also where not given), or ``[]`` for a fixed function.
        share: one vector per layer, or one per channel.
        channels: number of channels; needed where ``share="channel"``.
        channel_dim: the dimension of the input that runs over channels.
        **values: options by name.

    Raises:
        UnknownNameError: an option or learned name that does not exist.
        InvalidValueError: an option's value out of range, or ``share="channel"`` without
            ``channels``.

    """

    def __init__(
        self,
        /,
        *,
        learn: Sequence[str] | None = None,
        share: Share = "layer",
        channels: int | None = None,
        channel_dim: int = 1,
        **values: Any,
    ) -> None:
        super().__init__(
            learn=(), share=share, channels=channels, channel_dim=channel_dim, **values
        )
        for given in () if learn is None else learn:
            if given != COEFFICIENTS:
                raise UnknownNameError.among(
                    f"learnable parameter of {self.name}", given, [COEFFICIENTS]
                )
        with torch.device("cpu"):  # a model may be made on the meta device, without numbers
            start = self.start().repeat(self.channels or 1, 1)
        start = start.to(torch.get_default_device(), torch.get_default_dtype())
        if learn is None or list(learn):
            self.coefficients = nn.Parameter(start)
        else:
            self.register_buffer(COEFFICIENTS, start)

    def start(self) -> Tensor:
        """Return the coefficients to begin with, in float64, of shape :math:`(n)`."""
        raise NotImplementedError

    @override
    def forward(self, x: Tensor) -> Tensor:
        dtype = torch.promote_types(x.dtype, self.coefficients.dtype)
        dtype = torch.float32 if dtype == torch.float16 else dtype
        present = self.current(x.ndim)
        present[COEFFICIENTS] = present[COEFFICIENTS].to(dtype)
        return self.function(x.to(dtype), **present).to(x.dtype)

    def current(self, ndim: int = 0) -> dict[str, Any]:
        """Return the options, and the coefficients shaped for an input of ``ndim`` dimensions."""
        if self.share == "channel" and ndim:
            shape = [1] * ndim
            shape[self.channel_dim] = -1
            return {
                **self.values,
                COEFFICIENTS: self.coefficients.T.reshape(self.coefficients.shape[1], *shape),
            }
        return {**self.values, COEFFICIENTS: self.coefficients[0]}

    @property
    def start_error(self) -> float | None:
        """Largest difference between the start and the activation that it is ``like``, if any.

        It is looked for on [-bound, bound].
        """
        options: dict[str, Any] = self.values
        like, bound = options.get("like"), options.get("bound", 5.0)
        if like is None:
            return None
        x = torch.linspace(-bound, bound, 2001, dtype=torch.float64)
        with torch.no_grad():
            return float((self.plain()(x) - activation(like).plain()(x)).abs().max())

    @override
    def extra_repr(self) -> str:
        shown = super().extra_repr()
        if not self.has_learned():
            return shown
        try:
            low, high = (float(end) for end in self.coefficients.detach().aminmax())
        except RuntimeError:  # without numbers
            return shown
        return f"{shown}, {self.coefficients.shape[1]} learned from {low:.4g} to {high:.4g}"

    @override
    def spec(self) -> dict[str, Any]:
        return super().spec() | {"learn": [COEFFICIENTS] if self.has_learned() else []}

    @override
    def plain(self) -> Self:
        fixed = super().plain()
        fixed.coefficients.copy_(fixed.start())
        return fixed


def pick(table: Tensor, index: Tensor) -> Tensor:
    r"""Return ``table[index]`` element by element.

    A table per channel is read in the channel of each element.

    Shapes:
        ``table`` :math:`(m)` or :math:`(m, 1, \dots, C, \dots, 1)`; ``index`` and the result
        ``(*)``.
    """
    if table.ndim == 1:
        return table.index_select(0, index.flatten()).view(index.shape)
    channels = torch.arange(table[0].numel(), device=table.device).view(table.shape[1:])
    flat = table.flatten(1).T.flatten()
    return flat.index_select(0, (index + channels * table.shape[0]).flatten()).view(index.shape)


def whole(name: str, value: object, low: int, high: int) -> int:
    """Return an option's value if it is a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidValueError(
            f"{name} must be a whole number from {low} to {high}, but got {value!r}."
        )
    return value


def positive(name: str, value: object) -> float:
    """Return an option's value if it is a positive number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise InvalidValueError(f"{name} must be a positive number, but got {value!r}.")
    return float(value)
