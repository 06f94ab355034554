"""The gate before a training: which activations and placements cannot work, and why, in milliseconds."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from actsearch.activations import Requirement, properties
from actsearch.activations.base import Activation
from actsearch.activations.equivalence import fingerprint
from actsearch.activations.registry import activation
from actsearch.errors import InvalidValueError
from actsearch.placement import FoundSite, Placement
from actsearch.placement.discover import discover
from actsearch.placement.placement import SiteEntry
from actsearch.placement.surgery import replace_sites

Loss = Callable[[Any, Any], Tensor]

POINTS = 1001
WIDENED = 1.5
"""A site is expected to see its range at initialisation, this much wider: training moves it."""

UNKNOWN_RANGE = (-8.0, 8.0)
SHARPER = 4.0
"""A slope this much steeper on a grid eight times as fine is a pole, not a steep place."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate.

    Args:
        passed: whether it is worth a training.
        reason: why not: a word that can be counted, and what was found.
        figures: what was measured on the way, each as a ratio to the baseline.
    """

    passed: bool
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.passed


PASSED = Verdict(True)


@dataclass(frozen=True)
class Bounds:
    """What a network may be at initialisation and in a rehearsal, against the baseline.

    A function that shrinks or grows gradients does so at every site, so the bounds on them are per site. They were set
    on 431 expressions as the grammar draws them, trained in four convolutions with batch normalisation on digits: of those
    that learned, the gradient's norm was within 0.15 and 48 times the baseline's, and its first layer's at least 0.057.

    Args:
        shrink: smallest ratio of the first layer's gradient, for each site.
        grow: largest ratio of the gradient, for each site.
        sites: a network of fewer is bounded as one of that many.
        total: smallest ratio of the whole gradient.
        loss: largest ratio of the loss before training.
        progress: smallest share of the baseline's gain in a rehearsal.
    """

    shrink: float = 0.38
    grow: float = 3.2
    sites: int = 4
    total: float = 1e-3
    loss: float = 1e4
    progress: float = 0.05


def check_function(
    candidate: str | Activation,
    low: float,
    high: float,
    dtype: torch.dtype = torch.float32,
    order: int = 1,
    zero: bool = True,
) -> Verdict:
    """Whether a function can be trained through: finite with its derivatives on a range, no pole there, not constant.

    Numerics: judged on 1,001 points in the training dtype (float32 for half
    precision, in which autocast computes what is not a matrix product). A pole between two points shows as a slope that
    grows with the number of points.

    Args:
        candidate: a name, an expression, or an activation.
        low: lower end of the range.
        high: upper end.
        dtype: of the training.
        order: derivatives that must be finite: 1, or 2 where the task differentiates twice.
        zero: whether it must be finite at exactly 0 too; an input that is never cut or padded does not hit it.

    Raises:
        InvalidValueError: no range, or an order other than 1 and 2.

    >>> check_function("log(x)", -1.0, 1.0).reason
    'not finite: the value is nan at -1'
    >>> check_function("relu", -1.0, 1.0).passed
    True

    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidValueError(f"range must have finite low < high, but got {low=!r}, {high=!r}.")
    if order not in (1, 2):
        raise InvalidValueError(f"order must be 1 or 2, but got {order!r}.")
    function = activation(candidate) if isinstance(candidate, str) else candidate
    function = copy.deepcopy(function).to(dtype if dtype.itemsize >= 4 else torch.float32)
    grid = _grid(low, high, POINTS, dtype if dtype.itemsize >= 4 else torch.float32, zero)
    found = _derivatives(function, grid, order)
    for name, values in zip(("value", "derivative", "second derivative"), found, strict=False):
        if not bool(values.isfinite().all()):
            at = int((~values.isfinite()).nonzero()[0])
            return Verdict(False, f"not finite: the {name} is {float(values[at])} at {float(grid[at]):.4g}")
    value, slope = found[:2]
    size = max(1.0, float(value.abs().max()))
    if float(value.max() - value.min()) <= 1e-6 * size:
        return Verdict(
            False, f"constant: its values on [{low:.3g}, {high:.3g}] span {float(value.max() - value.min()):.2g}"
        )
    steepest = float(slope.abs().max())
    if float((slope.abs() > 1e-6 * steepest).double().mean()) < 0.01:
        return Verdict(False, f"flat: its derivative is 0 nearly everywhere on [{low:.3g}, {high:.3g}]")
    if steepest > 10:
        finer = _derivatives(function, _grid(low, high, 8 * POINTS, grid.dtype, zero), 1)[1]
        sharpest = float(finer.nan_to_num(nan=math.inf).abs().max())
        if sharpest > SHARPER * steepest:
            return Verdict(
                False, f"pole: its slope on [{low:.3g}, {high:.3g}] reaches {sharpest:.2g} and grows with the grid"
            )
    return PASSED


def _grid(low: float, high: float, points: int, dtype: torch.dtype, zero: bool) -> Tensor:
    grid = torch.linspace(low, high, points, dtype=torch.float64)
    if low < 0 < high:
        nearest = grid.abs().argmin()
        grid[nearest] = 0.0 if zero else 0.3 * (high - low) / points  # near 0, where a pole shows
    return grid.to(dtype)


def _derivatives(function: nn.Module, grid: Tensor, order: int) -> list[Tensor]:
    x = grid.clone().requires_grad_()
    found = [function(x)]
    for k in range(order):
        slope = None
        if found[-1].requires_grad:
            (slope,) = torch.autograd.grad(found[-1].sum(), x, create_graph=k + 1 < order, allow_unused=True)
        found.append(torch.zeros_like(x) if slope is None else slope)
    return [values.detach() for values in found]


class _Holder(nn.Module):
    """Stands at a site, holds the candidate, and remembers the range of what it was given."""

    def __init__(self, inner: nn.Module | None) -> None:
        super().__init__()
        self.inner = inner
        self.low, self.high = math.inf, -math.inf
        self.zero = False

    def forward(self, x: Tensor) -> Tensor:
        """Apply the candidate."""
        low, high = x.detach().aminmax()
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        self.zero = self.zero or bool((x.detach() == 0).any())
        assert self.inner is not None, "a candidate is put in before the network runs"
        result: Tensor = self.inner(x)
        return result


class _Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        """Call it."""
        return self.function(x)


class Gate:
    """Refuse, before any training, activations and placements that cannot be trained in a model.

    In order, the cheapest first: the sites' requirements; finite value and first derivative in the training dtype on the
    range that each site sees at initialisation, widened; not constant; no function accepted before (``unique``); loss and
    gradient of the whole network at initialisation within bounds; and, in a rehearsal of a few steps on the one batch
    with a copy of the weights, a loss that is finite and falls where the baseline's does.

    Args:
        model: the model as it will be trained, at its initialisation; it is copied and left as it is.
        batch: inputs, or a pair of inputs and targets.
        loss: from the model's output and the targets to a number; without it, or without targets, the rehearsal fits
            fixed random numbers by least squares.
        steps: of the rehearsal; 0 leaves it out.
        learning_rate: of the rehearsal, which uses Adam.
        second: whether the second derivative must be finite too.
        unique: whether a placement of functions that were accepted before is refused.
        bounds: what is allowed against the baseline.

    Raises:
        InvalidValueError: a model without an open site.

    >>> model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> gate = Gate(model, torch.randn(32, 4))
    >>> gate.check("gelu").passed, gate.check("log(x)").reason.partition(":")[0]
    (True, 'not finite')

    """

    def __init__(
        self,
        model: nn.Module,
        batch: Any,
        loss: Loss | None = None,
        *,
        steps: int = 12,
        learning_rate: float = 1e-3,
        second: bool = False,
        unique: bool = False,
        bounds: Bounds | None = None,
    ) -> None:
        paired = isinstance(batch, (tuple, list)) and len(batch) == 2
        self.inputs: Any = batch[0] if paired else batch
        self.targets: Any = batch[1] if paired else None
        self.loss = loss if self.targets is not None else None
        self.steps, self.learning_rate = steps, learning_rate
        self.order, self.unique, self.bounds = 1 + second, unique, bounds or Bounds()
        self.accepted: dict[tuple[str, ...], str] = {}
        self.model = copy.deepcopy(model).train()
        discovery = discover(self.model, self.inputs)
        self.sites = {site.name: site for site in discovery.sites.open}
        if not self.sites:
            raise InvalidValueError("the model must have an open site, but has none. `find_sites(model)` tells why.")
        own = {name: copy.deepcopy(discovery.places[name].function()) for name in self.sites}
        self.holders = {name: _Holder(_module(function)) for name, function in own.items()}
        self.own = {name: holder.inner for name, holder in self.holders.items()}
        replace_sites(self.model, self.holders, discovery)
        self.dtype = next((p.dtype for p in self.model.parameters() if p.is_floating_point()), torch.float32)
        self.state = copy.deepcopy(self.model.state_dict())
        self.noise: Tensor | None = None
        self.baseline = self._measure(self.own)
        self.ranges = {name: _widened(holder) for name, holder in self.holders.items()}
        self.zeros = {name: holder.zero for name, holder in self.holders.items()}

    def check(self, candidate: Placement | Activation | Mapping[str, Any] | str) -> Verdict:
        """Return the verdict on a placement, or on one activation at every open site.

        Raises:
            UnknownNameError: no such activation.
            ExpressionError: an expression outside of the grammar.
        """
        entries = self._entries(candidate)
        functions: dict[str, Activation] = {}
        for name, entry in entries.items():
            site = self.sites.get(name)
            function = entry if isinstance(entry, Activation) else self._build(entry, site)
            requires = site.requires if site is not None else ""
            if requires and (refusal := Requirement(requires).refusal(properties(function))):
                return Verdict(False, f"requirement: {name} requires {requires!r}: {refusal}")
            functions[name] = function
        seen: dict[tuple[Any, ...], Verdict] = {}
        for name, function in functions.items():
            if name not in self.sites:  # a gate that was asked for: its range is not known here
                continue
            low, high = self.ranges[name]
            zero = self.zeros[name]
            key = (
                id(function) if isinstance(candidate, Activation) else repr(function),
                round(low, 1),
                round(high, 1),
                zero,
            )
            if key not in seen:
                seen[key] = check_function(function, low, high, self.dtype, self.order, zero)
            if not seen[key]:
                return Verdict(False, f"{seen[key].reason}, at site {name}")
        keys = tuple(fingerprint(function) for _, function in sorted(functions.items())) if self.unique else ()
        if keys and keys in self.accepted:
            return Verdict(False, f"duplicate: equal to {self.accepted[keys]}")
        verdict = self._compare(self._measure(self.own | {n: f for n, f in functions.items() if n in self.sites}))
        if verdict and keys:
            self.accepted[keys] = ", ".join(dict.fromkeys(f.name for f in functions.values()))
        return verdict

    def _entries(
        self, candidate: Placement | Activation | Mapping[str, Any] | str
    ) -> dict[str, SiteEntry | Activation]:
        if isinstance(candidate, Placement):
            return dict(candidate.sites)
        if isinstance(candidate, Activation):
            return dict.fromkeys(self.sites, candidate)
        return dict(Placement.uniform(candidate, list(self.sites)).sites)

    def _build(self, entry: SiteEntry, site: FoundSite | None) -> Activation:
        return entry.build(site.channels, site.channel_dim) if site is not None else entry.build()

    def _measure(self, functions: Mapping[str, nn.Module | None]) -> dict[str, Any]:
        """Return loss and gradient of the network with these functions, and its losses in a rehearsal."""
        for name, function in functions.items():
            self.holders[name].inner = copy.deepcopy(function)  # a rehearsal moves what is learned
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                return self._rehearse()
            finally:
                self.model.load_state_dict(self.state, strict=False)

    def _rehearse(self) -> dict[str, Any]:
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(parameters, lr=self.learning_rate) if parameters else None
        losses: list[float] = []
        norms: list[float] = []
        for step in range(self.steps + 1):
            self.model.zero_grad(set_to_none=True)
            loss = self._loss(self.model(*_arguments(self.inputs)[0], **_arguments(self.inputs)[1]))
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                break
            if loss.requires_grad:
                loss.backward()
            if step == 0:
                norms = [float(p.grad.norm()) if p.grad is not None else 0.0 for p in parameters]
                if not all(math.isfinite(norm) for norm in norms):
                    break
            if optimiser is not None and step < self.steps:
                optimiser.step()
        return {"losses": losses, "norms": norms}

    def _loss(self, output: Any) -> Tensor:
        if self.loss is not None:
            return self.loss(output, self.targets)
        total = torch.zeros(())
        for tensor in _tensors(output):
            if self.noise is None or self.noise.shape != tensor.shape:
                generator = torch.Generator().manual_seed(0)
                self.noise = torch.randn(tensor.shape, generator=generator).to(tensor)
            total = total + (tensor - self.noise).square().mean()
        return total

    def _compare(self, measured: dict[str, Any]) -> Verdict:
        losses, norms = measured["losses"], measured["norms"]
        base = self.baseline
        figures = {"loss": losses[0] / max(base["losses"][0], 1e-12)}
        if not math.isfinite(losses[0]):
            return Verdict(False, f"signal: the loss at initialisation is {losses[0]}", figures)
        if losses[0] > self.bounds.loss * max(base["losses"][0], 1e-12):
            return Verdict(
                False, f"signal: the loss at initialisation is {figures['loss']:.2g} times the baseline's", figures
            )
        if not all(math.isfinite(norm) for norm in norms):
            return Verdict(False, "gradient: it is not finite at initialisation", figures)
        figures["gradient"] = math.hypot(*norms[: len(base["norms"])]) / max(math.hypot(*base["norms"]), 1e-12)
        figures["first gradient"] = norms[0] / max(base["norms"][0], 1e-12) if norms else 1.0
        depth = max(self.bounds.sites, len(self.sites))
        low, high = self.bounds.shrink**depth, self.bounds.grow**depth
        if max(figures["gradient"], figures["first gradient"]) > high:
            grown = max(figures["gradient"], figures["first gradient"])
            return Verdict(False, f"gradient: it explodes to {grown:.2g} times the baseline's", figures)
        if figures["first gradient"] < low or figures["gradient"] < self.bounds.total:
            shrunk = min(figures["gradient"], figures["first gradient"])
            return Verdict(False, f"gradient: it vanishes to {shrunk:.2g} times the baseline's", figures)
        if self.steps:
            if not math.isfinite(losses[-1]):
                return Verdict(False, f"rehearsal: the loss is {losses[-1]} after {len(losses) - 1} steps", figures)
            gained, own = base["losses"][0] - base["losses"][-1], losses[0] - min(losses[1:])
            figures["progress"] = own / gained if gained > 0 else 1.0
            figures["end"] = losses[-1] / max(base["losses"][0], 1e-12)
            if figures["progress"] < self.bounds.progress:
                share = f"{max(figures['progress'], 0):.1%} of what the baseline's does"
                return Verdict(False, f"rehearsal: the loss falls by {share} in {self.steps} steps", figures)
        return Verdict(True, "", figures)


def _module(function: Callable[[Tensor], Any] | None) -> nn.Module | None:
    if function is None or isinstance(function, nn.Module):
        return function
    return _Function(function)


def _widened(holder: _Holder) -> tuple[float, float]:
    if not holder.low < holder.high or not math.isfinite(holder.high - holder.low):
        return UNKNOWN_RANGE
    middle, half = (holder.low + holder.high) / 2, (holder.high - holder.low) / 2
    return middle - WIDENED * half, middle + WIDENED * half


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs), {}) if isinstance(inputs, (tuple, list)) else ((inputs,), {})


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, Mapping):
        output = list(output.values())
    return [t for part in output for t in _tensors(part)] if isinstance(output, (tuple, list)) else []
