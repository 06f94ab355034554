"""Recurrent layers whose hidden activations are sites.

Torch's own are fused, and nothing can be placed in them.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.placement.site import Site


class _Recurrent(nn.Module):
    """What the three layers share: torch's parameters, and the walk over time and depth.

    Parameters have torch's names; the walk runs in both directions where asked for.

    Args:
        input_size: features of each step of the input.
        hidden_size: features of the state.
        num_layers: layers on top of each other.
        bias: whether there are biases.
        batch_first: whether the input is ``(batch, time, features)`` and not ``(time, batch,
            features)``.
        dropout: probability, between layers, while training.
        bidirectional: whether each layer also runs backwards in time.
        activation: what stands at the sites first: a name of the catalogue or an expression.

    Shapes:
        input ``(T, N, F)``, ``(N, T, F)`` with ``batch_first``, or ``(T, F)``; output with ``F = D
        hidden_size``, where D is 2 if bidirectional, else 1; states ``(D num_layers, N,
        hidden_size)``.

    Raises:
        InvalidValueError: a size or the number of layers below 1, or a packed sequence as input.
    """

    gates: ClassVar[int] = 1
    torch_type: ClassVar[type[nn.RNNBase]]
    site_names: ClassVar[tuple[str, ...]] = ("activation",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        for name, value in (
            ("input_size", input_size),
            ("hidden_size", hidden_size),
            ("num_layers", num_layers),
        ):
            if value < 1:
                raise InvalidValueError(f"{name} must be at least 1, but got {value!r}.")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout = nn.Dropout(dropout)
        self.suffixes = [
            f"l{layer}{end}"
            for layer in range(num_layers)
            for end in ("", "_reverse")[: 1 + bidirectional]
        ]
        for number, suffix in enumerate(self.suffixes):
            width = input_size if number < 1 + bidirectional else hidden_size * (1 + bidirectional)
            rows = self.gates * hidden_size
            self.register_parameter(f"weight_ih_{suffix}", nn.Parameter(torch.empty(rows, width)))
            self.register_parameter(
                f"weight_hh_{suffix}", nn.Parameter(torch.empty(rows, hidden_size))
            )
            if bias:
                self.register_parameter(f"bias_ih_{suffix}", nn.Parameter(torch.empty(rows)))
                self.register_parameter(f"bias_hh_{suffix}", nn.Parameter(torch.empty(rows)))
            for name in self.site_names:
                self.add_module(f"{name}_{suffix}", Site(activation))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every weight and bias from U(-1/√H, 1/√H), as torch does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters():
            if name.startswith(("weight_", "bias_")):
                nn.init.uniform_(parameter, -bound, bound)

    @classmethod
    def from_torch(cls, layer: nn.RNNBase) -> Self:
        """Return the layer with the parameters of torch's fused one, shared, and its activation."""
        if not isinstance(layer, cls.torch_type):
            raise InvalidValueError(
                f"layer must be an nn.{cls.torch_type.__name__}, but got {type(layer).__name__}."
            )
        if layer.proj_size:
            raise InvalidValueError(
                f"proj_size must be 0, but got {layer.proj_size!r}. Projections are not supported."
            )
        own = cls(
            layer.input_size, layer.hidden_size, layer.num_layers, layer.bias, layer.batch_first,
            layer.dropout,
            layer.bidirectional, activation=getattr(layer, "nonlinearity", "tanh"),
        )  # fmt: skip
        for name, parameter in layer.named_parameters():
            setattr(own, name, parameter)
        return own.train(layer.training)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """Return the states of the last layer at every step, and the last states of every layer."""
        if not isinstance(input, Tensor):
            raise InvalidValueError(
                f"input must be a tensor, but got {type(input).__name__}. Pad packed sequences."
            )
        batched = input.dim() == 3
        x = input if batched else input.unsqueeze(1)
        x = x.transpose(0, 1) if self.batch_first and batched else x
        states = self._states(hx, x, batched)
        last: list[tuple[Tensor, ...]] = []
        directions = 1 + self.bidirectional
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                number = layer * directions + direction
                y, state = self._run(
                    x.flip(0) if direction else x, tuple(s[number] for s in states), number
                )
                outputs.append(y.flip(0) if direction else y)
                last.append(state)
            x = torch.cat(outputs, dim=-1)
            x = self.dropout(x) if layer + 1 < self.num_layers else x
        x = x.transpose(0, 1) if self.batch_first and batched else x
        final = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
        if not batched:
            x, final = x.squeeze(1), tuple(part.squeeze(1) for part in final)
        return x, final if len(final) > 1 else final[0]

    def _states(self, given: Any, x: Tensor, batched: bool) -> tuple[Tensor, ...]:
        count = 2 if isinstance(self, LSTM) else 1
        if given is None:
            return tuple(
                x.new_zeros(len(self.suffixes), x.shape[1], self.hidden_size) for _ in range(count)
            )
        states = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        return states if batched else tuple(state.unsqueeze(1) for state in states)

    def _run(
        self, x: Tensor, state: tuple[Tensor, ...], number: int
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        suffix = self.suffixes[number]
        bias = (
            (getattr(self, f"bias_ih_{suffix}"), getattr(self, f"bias_hh_{suffix}"))
            if self.bias
            else (None, None)
        )
        inputs = nn.functional.linear(x, getattr(self, f"weight_ih_{suffix}"), bias[0])
        weight = getattr(self, f"weight_hh_{suffix}")
        sites = [getattr(self, f"{name}_{suffix}") for name in self.site_names]
        outputs = []
        for step in inputs.unbind(0):
            state = self.step(step, nn.functional.linear(state[0], weight, bias[1]), state, sites)
            outputs.append(state[0])
        return torch.stack(outputs), state

    def step(
        self, a: Tensor, b: Tensor, state: tuple[Tensor, ...], sites: list[Any]
    ) -> tuple[Tensor, ...]:
        """Return the next state.

        Args:
            a: what the input contributes.
            b: what the state contributes.
            state: the last one.
            sites: of this layer and direction.
        """
        raise NotImplementedError

    @override
    def extra_repr(self) -> str:
        return (
            f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers},"
            f" bidirectional={self.bidirectional}"
        )


class RNN(_Recurrent):
    r"""Elman network with a site for its hidden activation.

    .. math:: h_t = \varphi(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})

    Args and shapes are those of :class:`torch.nn.RNN`; parameters have its names, so state dicts
    carry over.

    References:
        Finding Structure in Time, J. Elman, 1990, https://doi.org/10.1207/s15516709cog1402_1

    >>> fused = nn.RNN(3, 4)
    >>> x = torch.randn(5, 2, 3)
    >>> torch.allclose(RNN.from_torch(fused)(x)[0], fused(x)[0], atol=1e-6)
    True
    """

    torch_type = nn.RNN

    @override
    def step(
        self, a: Tensor, b: Tensor, state: tuple[Tensor, ...], sites: list[Any]
    ) -> tuple[Tensor, ...]:
        return (sites[0](a + b),)


class LSTM(_Recurrent):
    r"""Long short-term memory with sites for the candidate and for the cell's output.

    Its three gates stay sigmoids.

    .. math::
        i, f, o = \sigma(\cdot), \quad g = \varphi(W_{ig} x_t + W_{hg} h_{t-1} + b), \quad
        c_t = f c_{t-1} + i g, \quad h_t = o \, \psi(c_t)

    Args and shapes are those of :class:`torch.nn.LSTM`, without projections; parameters have its
    names.

    References:
        Long Short-Term Memory, S. Hochreiter and J. Schmidhuber, 1997,
        https://doi.org/10.1162/neco.1997.9.8.1735
    """

    gates = 4
    torch_type = nn.LSTM
    site_names = ("candidate", "output")

    @override
    def step(
        self, a: Tensor, b: Tensor, state: tuple[Tensor, ...], sites: list[Any]
    ) -> tuple[Tensor, ...]:
        i, f, g, o = (a + b).chunk(4, dim=-1)
        cell = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * sites[0](g)
        return torch.sigmoid(o) * sites[1](cell), cell


class GRU(_Recurrent):
    r"""Gated recurrent unit with a site for its candidate; its two gates stay sigmoids.

    .. math::
        r, z = \sigma(\cdot), \quad
        n = \varphi(W_{in} x_t + b_{in} + r (W_{hn} h_{t-1} + b_{hn})), \quad
        h_t = (1 - z) n + z h_{t-1}

    Args and shapes are those of :class:`torch.nn.GRU`; parameters have its names.

    References:
        Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
        Translation, K. Cho et al., 2014, https://arxiv.org/abs/1406.1078
    """

    gates = 3
    torch_type = nn.GRU
    site_names = ("candidate",)

    @override
    def step(
        self, a: Tensor, b: Tensor, state: tuple[Tensor, ...], sites: list[Any]
    ) -> tuple[Tensor, ...]:
        (ar, az, an), (br, bz, bn) = a.chunk(3, dim=-1), b.chunk(3, dim=-1)
        z = torch.sigmoid(az + bz)
        candidate = sites[0](an + torch.sigmoid(ar + br) * bn)
        return ((1 - z) * candidate + z * state[0],)
