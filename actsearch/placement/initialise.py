"""Scale the weights that feed each site, so that signal or gradient keep their variance with depth."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch.activations.base import Activation
from actsearch.activations.properties.estimate import derivative
from actsearch.errors import InvalidValueError
from actsearch.placement.discovery.discover import run_example, trace, unwrap
from actsearch.placement.discovery.gates import NORMS, producers
from actsearch.placement.site import Site
from actsearch.placement.tracing.graph import Call, Graph, Node

# A standard normal sample without noise: the quantiles of equal steps of probability.
QUANTILES: Tensor = torch.special.ndtri((torch.arange(16384, dtype=torch.float64) + 0.5) / 16384)
Mode = Literal["forward", "backward", "mean"]


@dataclass(frozen=True)
class Scaled:
    """What was done to one layer.

    Args:
        layer: its path.
        incoming: second moment of its input, assumed or measured.
        variance: of its output at a site, aimed at: 1, or less at the end of a residual branch.
        factor: what its weights were multiplied with.
    """

    layer: str
    incoming: float
    variance: float
    factor: float


def initialise(
    model: nn.Module, mode: Mode = "forward", example_input: Any = None, *, measured: bool = False
) -> list[Scaled]:
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
        measured: measure :math:`E[a^2]` layer by layer on the example, and do not assume
            independent Gaussian signals.

    Returns:
        one row a layer, in the order of the forward pass.

    Raises:
        InvalidValueError: an unknown mode, or ``measured`` without an example.
        PlacementError: the model neither traces nor runs.

    References:
        Understanding the difficulty of training deep feedforward neural networks, X. Glorot and Y.
        Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html Delving Deep into Rectifiers,
        K. He, X. Zhang, S. Ren and J. Sun, 2015, https://arxiv.org/abs/1502.01852 All you need is a
        good init, D. Mishkin and J. Matas, 2015, https://arxiv.org/abs/1511.06422
    """
    if mode not in ("forward", "backward", "mean"):
        raise InvalidValueError(f"mode must be 'forward', 'backward' or 'mean', but got {mode!r}.")
    if measured and example_input is None:
        raise InvalidValueError(
            "example_input must be given where measured is true, but got None. Pass one batch."
        )
    inner = unwrap(model)
    graph = trace(inner, example_input)
    plan = _Plan(inner, graph, mode)
    if not measured:
        return plan.analytic()
    return plan.measured(lambda: run_example(inner, example_input))


class _Plan:
    def __init__(self, model: nn.Module, graph: Graph, mode: Mode) -> None:
        self.model = model
        self.graph = graph
        self.mode = mode
        owners = [
            (path, m)
            for path, m in model.named_modules()
            if isinstance(getattr(m, "weight", None), nn.Parameter)
        ]
        self.layer_of = {id(m.weight): (path, m) for path, m in owners}
        self.fed = {layer for call in graph.calls for layer in producers(call.node)}
        self.ends = _branch_ends(graph)

    def layer(self, node: Node) -> tuple[str, nn.Module] | None:
        """Return the module whose weights an operation reads, where the layer feeds a site and is not all zeros."""
        found = next((self.layer_of[w] for w in node.weights if w in self.layer_of), None)
        if (
            node not in self.fed
            or found is None
            or isinstance(found[1], (nn.Embedding, nn.EmbeddingBag))
        ):
            return None
        weight: Any = found[1].weight
        return (
            found
            if weight.ndim >= 2 and not weight.is_meta and bool(weight.detach().any())
            else None
        )

    def analytic(self) -> list[Scaled]:
        """Scale by samples of one element of each signal: Gaussian behind a layer, and what follows computed from it.

        Samples and not moments, because a skip connection carries the skewed output of an
        activation past a branch.
        """
        generator = torch.Generator().manual_seed(0)
        signals: dict[Node, Tensor] = {}
        rows: dict[str, Scaled] = {}
        slopes: dict[Node, float] = {}

        def normal(variance: float) -> Tensor:
            order = torch.randperm(len(QUANTILES), generator=generator)
            return QUANTILES[order].mul(math.sqrt(variance))

        for node in self.graph.nodes:
            values = [_of(signals, source) for source in node.inputs if source.fed] or [normal(1.0)]
            slopes[node] = self._slope(node, slopes, values[0])
            if node.name == "input":
                signals[node] = normal(1.0)
            elif node.call is not None:
                signals[node] = _evaluate(self.model, node.call, values[0])
            elif node.learned:
                incoming = float(values[0].square().mean())
                found = self.layer(node)
                if found is not None and found[0] not in rows:
                    rows[found[0]] = self.scale(node, *found, incoming, slopes[node])
                module = next(
                    (self.layer_of[w][1] for w in node.weights if w in self.layer_of), None
                )
                signals[node] = normal(
                    _output(module, incoming) if module is not None else incoming
                )
            elif node.name in NORMS:
                signals[node] = (values[0] - values[0].mean()) / values[0].std().clamp_min(1e-6)
            elif node.name in ("add", "sub"):
                signals[node] = torch.stack(values).sum(0)
            elif node.name == "mul":
                signals[node] = torch.stack(values).prod(0)
            elif node.name == "cat":
                mixed = torch.cat(values)
                signals[node] = mixed[
                    torch.randperm(len(mixed), generator=generator)[: len(QUANTILES)]
                ]
            else:
                signals[node] = values[0]
        return list(rows.values())

    def measured(self, run: Callable[[], Any]) -> list[Scaled]:
        """Scale each layer just before it runs, by the second moment of what really arrives."""
        rows: dict[str, Scaled] = {}
        slopes: dict[Node, float] = {}
        handles = []
        for node in self.graph.nodes:
            slopes[node] = self._slope(node, slopes, QUANTILES)
            found = self.layer(node) if node.learned else None
            if found is None:
                continue

            def before(
                module: nn.Module,
                inputs: tuple[Tensor, ...],
                node: Node = node,
                path: str = found[0],
            ) -> None:
                if path not in rows:
                    incoming = float(inputs[0].detach().double().square().mean())
                    rows[path] = self.scale(node, path, module, incoming, slopes.get(node, 1.0))

            handles.append(found[1].register_forward_pre_hook(before))
        try:
            run()
        finally:
            for handle in handles:
                handle.remove()
        return list(rows.values())

    def _slope(self, node: Node, slopes: dict[Node, float], z: Tensor) -> float:
        """Return the mean squared derivative of the activation that an operation is or reads from.

        1 behind a layer.
        """
        if node.call is not None:
            return _squared_derivative(self.model, node.call, z)
        read = [
            1.0 if source.learned else slopes.get(source, 1.0)
            for source in node.inputs
            if source.fed
        ]
        return max(read, default=1.0)

    @torch.no_grad()
    def scale(
        self, node: Node, path: str, module: nn.Module, incoming: float, slope: float
    ) -> Scaled:
        """Multiply a layer's weights so that its output has the variance aimed at."""
        weight: Any = module.weight
        fan_in, fan_out = _fans(module)
        branches = len(self.ends)
        variance = 1.0 / branches if node in self.ends else 1.0
        forward, backward = fan_in * max(incoming, 1e-12), fan_out * max(slope, 1e-12)
        spread = {
            "forward": 1 / forward,
            "backward": 1 / backward,
            "mean": 2 / (forward + backward),
        }[self.mode] * variance
        bias: Any = getattr(module, "bias", None)
        if bias is not None and self.mode == "forward":
            spread *= max(1.0 - float(bias.double().square().mean()) / variance, 0.0) or 1.0
        factor = math.sqrt(spread / float(weight.double().square().mean()))
        weight.mul_(factor)
        return Scaled(path, incoming, variance, factor)


def _of(signals: dict[Node, Tensor], node: Node) -> Tensor:
    while node not in signals and node.inputs:  # a part of what an operation returned
        node = node.inputs[0]
    return signals.get(node, QUANTILES)


def _evaluate(model: nn.Module, call: Call, z: Tensor) -> Tensor:
    """Return φ(z) at a site; z where φ cannot be evaluated alone."""
    try:
        with torch.no_grad():
            return (_function(call) if call.functional else _standing(model, call.key))(z.clone())
    except (RuntimeError, ValueError, TypeError):
        return z


def _squared_derivative(model: nn.Module, call: Call, z: Tensor) -> float:
    """Return E[φ'(z)²] at a site; 1 where φ cannot be evaluated alone."""
    try:
        function = _function(call) if call.functional else _standing(model, call.key)
        return float(derivative(function, z).square().mean())
    except (RuntimeError, ValueError, TypeError):
        return 1.0


def _function(call: Call) -> Callable[[Tensor], Tensor]:
    plain: Any = getattr(F, call.name, None) or getattr(torch, call.name)
    return functools.partial(plain, **dict(call.parameters))


def _standing(model: nn.Module, path: str) -> Callable[[Tensor], Tensor]:
    holder, _, name = path.rpartition(".")
    value: Any = getattr(model.get_submodule(holder), name)
    value = value.activation if isinstance(value, Site) else value
    if not isinstance(value, nn.Module):
        return value  # type: ignore[no-any-return]  # a callable attribute
    own = next(value.parameters(), None)
    if isinstance(value, Activation):
        return value.plain()
    return (lambda x: value(x.to(own)).to(x)) if own is not None else (lambda x: value(x.clone()))


def _branch_ends(graph: Graph) -> set[Node]:
    """Return the layers that end a residual branch: the deepest on one side of a sum that the other side skips."""
    ends: set[Node] = set()
    for node in graph.nodes:
        sides = [source for source in node.inputs if source.fed]
        if node.name != "add" or len(sides) < 2:
            continue
        deepest = max(sides, key=lambda side: side.depth)
        if all(side.depth < deepest.depth for side in sides if side is not deepest):
            layers = producers(Node("end", inputs=[deepest]))
            if layers and not _behind_site(deepest, layers[-1]):
                ends.add(layers[-1])
    return ends


def _behind_site(node: Node, layer: Node) -> bool:
    """Return whether an activation stands between a layer and a later operation that it feeds alone."""
    while node is not layer and node.inputs:
        if node.call is not None:
            return True
        node = max(node.inputs, key=lambda each: each.depth)
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
