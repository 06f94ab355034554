"""Time and memory of activations, forward and backward, as ratios to torch's own calls.

    python benchmarks/activations.py [--elements 1000000] [--rounds 40] [--group native rules]

Contestants of a group take turns in one run, and the least of their times counts: what else the
machine does at the moment then hits all of them alike. One thread, float32. A group is a list of
:class:`Case`; add one to ``GROUPS`` to compare more.

``native`` compares with the same function of torch, ``one-parameter`` every activation with one
parameter with ``F.gelu``; ``rules`` compares three ways to learn that parameter: the formula in one
line, the rule of :mod:`actsearch.activations.kernels`, and the formula through ``torch.compile``
(some minutes, most of them spent compiling).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from actsearch.activations import activation

Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """One comparison.

    Args:
        name: what is measured.
        call: it, as a function of the input.
        baseline: what it is measured against.
        against: the baseline's name.
        limit: the ratio that it must not exceed.
    """

    name: str
    call: Call
    baseline: Call
    against: str
    limit: float


NATIVE: dict[str, Call] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "gelu": F.gelu,
    "mish": F.mish,
    "selu": F.selu,
    "elu": F.elu,
    "celu": F.celu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "logsigmoid": F.logsigmoid,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardtanh": F.hardtanh,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "tanhshrink": F.tanhshrink,
    "leaky_relu": F.leaky_relu,
}
ONE_PARAMETER = {
    "leaky_relu": "negative_slope",
    "prelu": "negative_slope",
    "learnable_leaky_relu": "negative_slope",
    "elu": "alpha",
    "celu": "alpha",
    "swish": "beta",
    "softplus": "beta",
    "parametric_mish": "beta",
    "parametric_gelu": "sigma",
    "parametric_softsign": "width",
    "snake": "frequency",
    "softshrink": "lambd",
    "clip": "bound",
    "clipped_relu": "ceiling",
    "isru": "alpha",
    "squareplus": "b",
    "adaptive_slope": "slope",
}
FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "prelu": lambda x, a: F.relu(x) + a * x.clamp(max=0),
    "elu": lambda x, a: F.relu(x) + a * torch.expm1(x.clamp(max=0)),
    "celu": lambda x, a: F.relu(x) + a * torch.expm1(x.clamp(max=0) / a),
    "clip": lambda x, c: x.clamp(-c, c),
    "swish": lambda x, b: x * torch.sigmoid(b * x),
    "parametric_gelu": lambda x, s: F.gelu(x / s) * s,
    "softplus": lambda x, b: F.softplus(b * x) / b,
    "parametric_mish": lambda x, b: x * torch.tanh(F.softplus(b * x)),
}
"""What has a rule, as one line."""


class OneLine(nn.Module):
    """A formula with one learned parameter."""

    def __init__(self, formula: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.formula = formula
        self.parameter = nn.Parameter(torch.tensor([0.7]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the formula."""
        return self.formula(x, self.parameter)


def one_parameter() -> list[Case]:
    """Return every activation with one parameter, away from its default: fixed, and learned."""
    cases = []
    for name, parameter in ONE_PARAMETER.items():
        for learn in ((), (parameter,)):
            module = activation(name, learn=learn, **{parameter: 0.7})
            cases.append(
                Case(f"{name}, {'learned' if learn else 'fixed'}", module, F.gelu, "F.gelu", 1.5)
            )
    return cases


def rules() -> list[Case]:
    """Return three ways of each activation that has a rule, its parameter learned."""
    cases = []
    for name, formula in FORMULAS.items():
        parameter = ONE_PARAMETER[name]
        ways = {
            "formula": OneLine(formula),
            "rule": activation(name, learn=(parameter,), **{parameter: 0.7}),
            "compiled": torch.compile(OneLine(formula)),
        }
        cases += [Case(f"{name}, {way}", call, F.gelu, "F.gelu", inf) for way, call in ways.items()]
    return cases


GROUPS: dict[str, Callable[[], list[Case]]] = {
    "native": lambda: [Case(n, activation(n), call, f"F.{n}", 1.05) for n, call in NATIVE.items()],
    "one-parameter": one_parameter,
    "rules": rules,
}


def seconds(call: Call, x: Tensor, gradient: Tensor) -> float:
    """Return the processor time of one forward and backward pass, whatever else runs."""
    inputs = [x, *call.parameters()] if isinstance(call, nn.Module) else [x]
    start = time.process_time()
    torch.autograd.grad(call(x), inputs, gradient)
    return time.process_time() - start


def peak_activations(call: Call, x: Tensor, gradient: Tensor) -> float:
    """Return the peak of memory allocated by a forward and backward pass, in sizes of the input."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        seconds(call, x, gradient)
    held = peak = 0
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]  # type: ignore[union-attr]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak / (x.numel() * x.element_size())


def compare(case: Case, x: Tensor, gradient: Tensor, rounds: int) -> tuple[float, float, float]:
    """Return least times of case and baseline in milliseconds, taken in turns, and peak memory."""
    ours, theirs = [], []
    for turn in range(rounds):
        pair = [(case.call, ours), (case.baseline, theirs)]
        # Neither always finds the other's memory warm.
        for call, times in pair if turn % 2 else reversed(pair):
            times.append(seconds(call, x, gradient))
    return min(ours) * 1e3, min(theirs) * 1e3, peak_activations(case.call, x, gradient)


def main() -> None:
    """Print one line for every case; a star marks a ratio above its limit."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--elements", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--group", nargs="*", choices=list(GROUPS), default=list(GROUPS))
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    # Freed at once: from here on malloc keeps what it frees, or page faults hit some at random.
    torch.ones(7_500_000)
    x, gradient = torch.randn(given.elements, requires_grad=True), torch.randn(given.elements)
    for group in given.group:
        print(
            f"\n{group}: {given.elements} elements, float32, forward + backward, torch"
            f" {torch.__version__}, 1 thread"
        )
        print(
            f"{'activation':32}{'ms':>9}{'against':>16}{'ms':>9}{'ratio':>8}{'limit':>7}{'memory':>8}"
        )
        for case in GROUPS[group]():
            ours, theirs, peak = compare(case, x, gradient, given.rounds)
            ratio = ours / theirs
            mark = "  *" if ratio > case.limit else ""
            print(
                f"{case.name:32}{ours:9.3f}{case.against:>16}{theirs:9.3f}{ratio:8.2f}{case.limit:7.2f}{peak:8.1f}{mark}"
            )


if __name__ == "__main__":
    main()
