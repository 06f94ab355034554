"""The gate before a training: which activations and placements cannot work, and why, in milliseconds."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actsearch.activations import Requirement, properties
from actsearch.activations.base import Activation
from actsearch.activations.expression.equivalence import fingerprint
from actsearch.activations.trainability import PASSED as PASSED
from actsearch.activations.trainability import Trainability as Trainability
from actsearch.activations.trainability import check_function as check_function
from actsearch.errors import InvalidValueError
from actsearch.placement import FoundSite, Placement
from actsearch.placement.discovery.discover import Discovery, discover
from actsearch.placement.placement import SiteEntry
from actsearch.placement.replacement.replace import replace_sites
from actsearch.search.trainability.rehearsal import STEPS, Course, Loss, Rehearsal, arguments_of

LEARNING_RATES = (1e-3, 3e-3, 1e-2)
LEARNED = 0.05
"""Share of the chance loss that the baseline must have got rid of in the rehearsal for candidates to be judged by it."""

WIDENED = 1.5
"""A site is expected to see its range at initialisation, this much wider: training moves it."""

UNKNOWN_RANGE = (-8.0, 8.0)


@dataclass(frozen=True)
class Bounds:
    """What a network may be at initialisation and in a rehearsal, against the baseline.

    Scale alone kills few networks, because the optimiser's steps do not depend on it: the bounds on
    loss and gradient are wide, and what decides is whether the loss gets below that of a constant
    output. Set on the outcomes of 1,034 expressions in two networks on digits, one with batch
    normalisation: of those that learned, the slowest made 8 % of the baseline's progress; of those
    that ended at chance, nineteen in twenty made less than 7 %.

    Args:
        gradient: smallest and largest ratio of the norm of the gradient.
        loss: largest ratio of the loss before training.
        progress: smallest share of the baseline's gain over chance at the end of the rehearsal.
    """

    gradient: tuple[float, float] = (1e-5, 1e7)
    loss: float = 1e6
    progress: float = 0.07


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

    In order, the cheapest first: the sites' requirements; finite value and first derivative in the
    training dtype on the range that each site sees at initialisation, widened; not constant; no
    function accepted before (``unique``); loss and gradient of the whole network at initialisation
    within bounds; and a rehearsal: a few steps on the one batch with a copy of the weights, in
    which the loss must stay finite and get below that of a constant output where the baseline's
    does.

    Args:
        model: the model as it will be trained, at its initialisation; it is copied and left as it
            is.
        batch: inputs, or a pair of inputs and targets; 64 examples of it are used.
        loss: from the model's output and the targets to a number; without it, or without targets,
            the rehearsal fits random linear functions of the inputs by least squares.
        steps: of the rehearsal; 0 leaves it out.
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
        steps: int = STEPS,
        second: bool = False,
        unique: bool = False,
        bounds: Bounds | None = None,
    ) -> None:
        self.order, self.unique, self.bounds = 1 + second, unique, bounds or Bounds()
        self.accepted: dict[tuple[str, ...], str] = {}
        self.rehearsal = Rehearsal(batch, loss, steps)
        self.model = copy.deepcopy(model).train()
        discovery = discover(self.model, self.rehearsal.inputs)
        self.sites = {site.name: site for site in discovery.sites.open}
        if not self.sites:
            raise InvalidValueError(
                "the model must have an open site, but has none. `find_sites(model)` tells why."
            )
        self.holders = _hold(self.model, discovery)
        self.own = {name: holder.inner for name, holder in self.holders.items()}
        self.dtype = next(
            (p.dtype for p in self.model.parameters() if p.is_floating_point()), torch.float32
        )
        self.state = copy.deepcopy(self.model.state_dict())
        self.baseline = self._baseline()

    def check(self, candidate: Placement | Activation | Mapping[str, Any] | str) -> Trainability:
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
                return Trainability(False, f"requirement: {name} requires {requires!r}: {refusal}")
            functions[name] = function
        functions = {
            name: f for name, f in functions.items() if name in self.sites
        }  # gates asked for have no range here
        seen: dict[tuple[Any, ...], Trainability] = {}
        for name, function in functions.items():
            (low, high), zero = self.ranges[name], self.zeros[name]
            shown = id(function) if isinstance(candidate, Activation) else repr(function)
            key = (shown, round(low, 1), round(high, 1), zero)
            if key not in seen:
                seen[key] = check_function(function, low, high, self.dtype, self.order, zero)
            if not seen[key]:
                return Trainability(False, f"{seen[key].reason}, at site {name}")
        keys = (
            tuple(fingerprint(function) for _, function in sorted(functions.items()))
            if self.unique
            else ()
        )
        if keys and keys in self.accepted:
            return Trainability(False, f"duplicate: equal to {self.accepted[keys]}")
        verdict = self._compare(self._measure(self.own | functions, self.learning_rate))
        if verdict and keys:
            self.accepted[keys] = ", ".join(dict.fromkeys(f.name for f in functions.values()))
        return verdict

    def _entries(
        self, candidate: Placement | Activation | Mapping[str, Any] | str
    ) -> dict[str, SiteEntry] | dict[str, Activation]:
        if isinstance(candidate, Placement):
            return dict(candidate.sites)
        if isinstance(candidate, Activation):
            return dict.fromkeys(self.sites, candidate)
        return dict(Placement.uniform(candidate, list(self.sites)).sites)

    def _build(self, entry: SiteEntry, site: FoundSite | None) -> Activation:
        return entry.build(site.channels, site.channel_dim) if site is not None else entry.build()

    def _baseline(self) -> Course:
        """Return the baseline's course at the learning rate that suits it best, and note what its sites see."""
        courses = []
        for rate in LEARNING_RATES:
            courses.append((self._measure(self.own, rate), rate))
            if rate == LEARNING_RATES[0]:
                self.ranges = {name: _widened(holder) for name, holder in self.holders.items()}
                self.zeros = {name: holder.zero for name, holder in self.holders.items()}
        best, self.learning_rate = min(
            courses, key=lambda c: c[0].late if math.isfinite(c[0].late) else math.inf
        )
        return best

    def _measure(self, functions: Mapping[str, nn.Module | None], rate: float) -> Course:
        for name, function in functions.items():
            self.holders[name].inner = copy.deepcopy(function)  # a rehearsal moves what is learned
        try:
            return self.rehearsal.run(self.model, rate)
        finally:
            self.model.load_state_dict(self.state, strict=False)

    def _compare(self, course: Course) -> Trainability:
        base, first = self.baseline, course.losses[0]
        figures = {"loss": first / max(abs(base.losses[0]), 1e-12)}
        if not math.isfinite(first):
            return Trainability(False, f"signal: the loss at initialisation is {first}", figures)
        if abs(figures["loss"]) > self.bounds.loss:
            return Trainability(
                False,
                f"signal: the loss at initialisation is {figures['loss']:.2g} times the baseline's",
                figures,
            )
        if not math.isfinite(course.gradient):
            return Trainability(False, "gradient: it is not finite at initialisation", figures)
        figures["gradient"] = course.gradient / max(base.gradient, 1e-12)
        low, high = self.bounds.gradient
        if not low <= figures["gradient"] <= high:
            word = "vanishes" if figures["gradient"] < low else "explodes"
            return Trainability(
                False,
                f"gradient: it {word} to {figures['gradient']:.2g} times the baseline's",
                figures,
            )
        if not math.isfinite(course.losses[-1]):
            steps = len(course.losses) - 1
            return Trainability(
                False, f"rehearsal: the loss is {course.losses[-1]} after {steps} steps", figures
            )
        chance = self.rehearsal.chance
        if chance is None or chance - base.late < LEARNED * abs(
            chance
        ):  # the baseline has not learned either
            return Trainability(True, "", figures)
        figures["progress"] = (chance - course.late) / (chance - base.late)
        if figures["progress"] < self.bounds.progress:
            found = f"the loss is {course.late:.4g} after {self.rehearsal.steps} steps"
            way = f"a constant output has {chance:.4g}, the baseline {base.late:.4g}"
            return Trainability(False, f"rehearsal: {found}, where {way}", figures)
        return Trainability(True, "", figures)


def site_ranges(model: nn.Module, example: Any) -> dict[str, tuple[float, float, bool]]:
    """Return what each open site sees of an example, widened: the range of its inputs, and whether one is exactly 0.

    The model cannot be used afterwards.
    """
    holders = _hold(model, discover(model, example))
    arguments, named = arguments_of(example)
    with torch.no_grad():
        model(*arguments, **named)
    return {name: (*_widened(holder), holder.zero) for name, holder in holders.items()}


def _hold(model: nn.Module, discovery: Discovery) -> dict[str, _Holder]:
    """Put a holder of its own function at every open site."""
    names = [site.name for site in discovery.sites.open]
    holders = {name: _Holder(_module(discovery.places[name].function())) for name in names}
    replace_sites(model, holders, discovery)
    return holders


def _module(function: Callable[[Tensor], Any] | None) -> nn.Module | None:
    return function if function is None or isinstance(function, nn.Module) else _Function(function)


def _widened(holder: _Holder) -> tuple[float, float]:
    if not holder.low < holder.high or not math.isfinite(holder.high - holder.low):
        return UNKNOWN_RANGE
    middle, half = (holder.low + holder.high) / 2, (holder.high - holder.low) / 2
    return middle - WIDENED * half, middle + WIDENED * half
