"""Scale the weights that feed each site, so that signal or gradient keep their variance."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch.activations.base import Activation
from actsearch.activations.properties.estimate import derivative
from actsearch.errors import InvalidValueError
from actsearch.placement.discovery.gates import producers
from actsearch.placement.site import Site
from actsearch.placement.torch_internals import unwrap
from actsearch.placement.tracing.graph import Call, Graph, Operation
from actsearch.placement.tracing.operations import NORMS
from actsearch.placement.tracing.trace_model import trace_whole

# A standard normal sample without noise: the quantiles of equal steps of probability.
NORMAL_SAMPLE: Tensor = torch.special.ndtri(
    (torch.arange(16384, dtype=torch.float64) + 0.5) / 16384
)
ScalingMode = Literal["forward", "backward", "mean"]


@dataclass(frozen=True)
class RescaledLayer:
    """What was done to one layer.

    Args:
        layer: its path.
        incoming: second moment of its input, as assumed.
        variance: of its output at a site, aimed at: 1, or less at the end of a residual branch.
        factor: what its weights were multiplied with.
    """

    layer: str
    incoming: float
    variance: float
    factor: float


def initialise(
    model: nn.Module, mode: ScalingMode = "forward", example_input: Any = None
) -> list[RescaledLayer]:
    r"""Re-scale, in place, the weights of every layer that feeds a site.

    With fans n, incoming second moment :math:`E[a^2]`, and the derivative of the activation that
    feeds the layer,

    .. math::
        \sigma_w^2 = \frac{1}{n_{in} E[a^2]} \;\text{(forward)}, \quad
        \frac{1}{n_{out} E[\varphi'^2]} \;\text{(backward)}, \quad
        \frac{2}{n_{in} E[a^2] + n_{out} E[\varphi'^2]} \;\text{(mean)}

    where behind a site :math:`E[a^2] = E[\varphi(z)^2]` is the reciprocal of the activation's own
    forward gain. For ReLU this is He's rule, for the identity and the mean Glorot's. Weights keep
    their pattern and biases stay. A layer that ends a residual branch gets the variance 1/L for the
    L branches of the model, so that the stream at most doubles.

    Args:
        model: a fresh model, with its activations in place.
        mode: what to keep: the signal, the gradient, or the mean of both.
        example_input: one input, or one batch; needed where the model does not trace.

    Returns:
        one row a layer, in the order of the forward pass.

    Raises:
        InvalidValueError: an unknown mode.
        PlacementError: the model neither traces nor runs.

    References:
        Understanding the difficulty of training deep feedforward neural networks, X. Glorot and Y.
        Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html

        Delving Deep into Rectifiers, K. He, X. Zhang, S. Ren and J. Sun, 2015,
        https://arxiv.org/abs/1502.01852
    """
    if mode not in ("forward", "backward", "mean"):
        raise InvalidValueError(f"mode must be 'forward', 'backward' or 'mean', but got {mode!r}.")
    inner = unwrap(model)
    return _Propagation(inner, trace_whole(inner, example_input), mode).rescale()


# What an operation on independent signals gives, by samples of one element of each signal.
SignalRule = Callable[[list[Tensor], torch.Generator], Tensor]


def _normalised(values: list[Tensor], generator: torch.Generator) -> Tensor:
    return (values[0] - values[0].mean()) / values[0].std().clamp_min(1e-6)


def _sum(values: list[Tensor], generator: torch.Generator) -> Tensor:
    return torch.stack(values).sum(0)


def _difference(values: list[Tensor], generator: torch.Generator) -> Tensor:
    return values[0] - torch.stack(values[1:]).sum(0) if len(values) > 1 else values[0]


def _product(values: list[Tensor], generator: torch.Generator) -> Tensor:
    return torch.stack(values).prod(0)


def _concatenation(values: list[Tensor], generator: torch.Generator) -> Tensor:
    mixed = torch.cat(values)
    return mixed[torch.randperm(len(mixed), generator=generator)[: len(NORMAL_SAMPLE)]]


SIGNAL_RULES: Mapping[str, SignalRule] = {
    **dict.fromkeys(NORMS, _normalised),
    "add": _sum,
    "sub": _difference,
    "mul": _product,
    "cat": _concatenation,
}


class _Propagation:
    """Send samples of one element of each signal through a graph, rescaling layers on the way.

    A signal is Gaussian behind a layer; what follows is computed from it. Samples and not moments,
    because a skip connection carries the skewed output of an activation past a branch.
    """

    def __init__(self, model: nn.Module, graph: Graph, mode: ScalingMode) -> None:
        self.model = model
        self.graph = graph
        self.mode = mode
        owners = [
            (path, m)
            for path, m in model.named_modules()
            if isinstance(getattr(m, "weight", None), nn.Parameter)
        ]
        self.layer_of = {id(m.weight): (path, m) for path, m in owners}
        self.feeding = {layer for call in graph.calls for layer in producers(call.operation)}
        self.branch_ends = _branch_ends(graph)
        self.generator = torch.Generator().manual_seed(0)
        self.signals: dict[Operation, Tensor] = {}
        self.slopes: dict[Operation, float] = {}
        self.rows: dict[str, RescaledLayer] = {}

    def rescale(self) -> list[RescaledLayer]:
        """Rescale every layer that feeds a site."""
        for operation in self.graph.operations:
            values = [self._read(source) for source in operation.inputs if source.fed]
            values = values or [self._normal(1.0)]
            self.slopes[operation] = self._slope(operation, values[0])
            self.signals[operation] = self._signal(operation, values)
        return list(self.rows.values())

    def _signal(self, operation: Operation, values: list[Tensor]) -> Tensor:
        if operation.name == "input":
            return self._normal(1.0)
        if operation.call is not None:
            return _activate(self.model, operation.call, values[0])
        if operation.is_layer:
            return self._behind_layer(operation, float(values[0].square().mean()))
        rule = SIGNAL_RULES.get(operation.name)
        return values[0] if rule is None else rule(values, self.generator)

    def _behind_layer(self, operation: Operation, incoming: float) -> Tensor:
        """Rescale a layer where it feeds a site, and return what comes out of it."""
        found = next((self.layer_of[w] for w in operation.weights if w in self.layer_of), None)
        if found is None:
            return self._normal(incoming)
        path, module = found
        if operation in self.feeding and path not in self.rows and _can_be_scaled(module):
            self.rows[path] = self._scale(operation, path, module, incoming)
        return self._normal(_output(module, incoming))

    def _normal(self, variance: float) -> Tensor:
        order = torch.randperm(len(NORMAL_SAMPLE), generator=self.generator)
        return NORMAL_SAMPLE[order].mul(math.sqrt(variance))

    def _read(self, operation: Operation) -> Tensor:
        while (
            operation not in self.signals and operation.inputs
        ):  # a part of what an operation returned
            operation = operation.inputs[0]
        return self.signals.get(operation, NORMAL_SAMPLE)

    def _slope(self, operation: Operation, z: Tensor) -> float:
        """Return the mean squared derivative of the activation that an operation is or reads from.

        1 behind a layer.
        """
        if operation.call is not None:
            return _squared_derivative(self.model, operation.call, z)
        read = [
            1.0 if source.is_layer else self.slopes.get(source, 1.0)
            for source in operation.inputs
            if source.fed
        ]
        return max(read, default=1.0)

    @torch.no_grad()
    def _scale(
        self, operation: Operation, path: str, module: nn.Module, incoming: float
    ) -> RescaledLayer:
        """Multiply a layer's weights so that its output has the variance aimed at."""
        weight: Any = module.weight
        fan_in, fan_out = _fans(module)
        variance = 1.0 / len(self.branch_ends) if operation in self.branch_ends else 1.0
        forward = fan_in * max(incoming, 1e-12)
        backward = fan_out * max(self.slopes[operation], 1e-12)
        spread = (
            variance
            * {
                "forward": 1 / forward,
                "backward": 1 / backward,
                "mean": 2 / (forward + backward),
            }[self.mode]
        )
        bias: Any = getattr(module, "bias", None)
        if bias is not None and self.mode == "forward":
            spread *= max(1.0 - float(bias.double().square().mean()) / variance, 0.0) or 1.0
        factor = math.sqrt(spread / float(weight.double().square().mean()))
        weight.mul_(factor)
        return RescaledLayer(path, incoming, variance, factor)


def _can_be_scaled(module: nn.Module) -> bool:
    """Return whether a layer has a matrix of weights that are known, and not all zeros."""
    weight: Any = module.weight
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) or weight.ndim < 2 or weight.is_meta:
        return False
    return bool(weight.detach().any())


def _activate(model: nn.Module, call: Call, z: Tensor) -> Tensor:
    """Return φ(z) at a site; z where φ cannot be evaluated alone, as it needs its own shape."""
    try:
        with torch.no_grad():
            return _function_at(model, call)(z.clone())
    except (RuntimeError, ValueError, TypeError):
        return z


def _squared_derivative(model: nn.Module, call: Call, z: Tensor) -> float:
    """Return E[φ'(z)²] at a site; 1 where φ cannot be evaluated alone."""
    try:
        return float(derivative(_function_at(model, call), z).square().mean())
    except (RuntimeError, ValueError, TypeError):
        return 1.0


def _function_at(model: nn.Module, call: Call) -> Callable[[Tensor], Tensor]:
    """Return what stands at a site as a function."""
    if call.functional:
        plain: Any = getattr(F, call.name, None) or getattr(torch, call.name)
        return functools.partial(plain, **dict(call.parameters))
    holder, _, name = call.key.rpartition(".")
    value: Any = getattr(model.get_submodule(holder), name)
    value = value.activation if isinstance(value, Site) else value
    if not isinstance(value, nn.Module):
        return value  # type: ignore[no-any-return]  # a callable attribute
    if isinstance(value, Activation):
        return value.plain()
    own = next(value.parameters(), None)
    if own is None:
        return lambda x: value(x.clone())
    return lambda x: value(x.to(own)).to(x)


def _branch_ends(graph: Graph) -> set[Operation]:
    """Return the layers that end a residual branch.

    Each is the deepest on one side of a sum that the other side skips.
    """
    ends: set[Operation] = set()
    for operation in graph.operations:
        sides = [source for source in operation.inputs if source.fed]
        if operation.name != "add" or len(sides) < 2:
            continue
        deepest = max(sides, key=lambda side: side.depth)
        if all(side.depth < deepest.depth for side in sides if side is not deepest):
            layers = producers(Operation("end", inputs=[deepest]))
            if layers and not _behind_site(deepest, layers[-1]):
                ends.add(layers[-1])
    return ends


def _behind_site(operation: Operation, layer: Operation) -> bool:
    """Return whether an activation stands between a layer and what it feeds alone."""
    while operation is not layer and operation.inputs:
        if operation.call is not None:
            return True
        operation = max(operation.inputs, key=lambda each: each.depth)
    return False


def _fans(module: nn.Module) -> tuple[float, float]:
    weight: Any = module.weight
    receptive = math.prod(weight.shape[2:])
    groups = getattr(module, "groups", 1)
    if getattr(module, "transposed", False):
        stride: Any = module.stride
        return weight.shape[0] / groups * receptive / math.prod(stride), weight.shape[1] * receptive
    return weight.shape[1] * receptive, weight.shape[0] / groups * receptive


def _output(module: nn.Module, incoming: float) -> float:
    weight: Any = module.weight
    if weight.is_meta or isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return 1.0
    bias: Any = getattr(module, "bias", None)
    shift = 0.0 if bias is None else float(bias.detach().double().square().mean())
    return _fans(module)[0] * float(weight.detach().double().square().mean()) * incoming + shift
