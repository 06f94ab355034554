"""Time and memory of activations, forward plus backward, as ratios to torch's own calls in the same run.

    python benchmarks/activations.py [--elements 1000000] [--rounds 40] [--group native
    one-parameter]

Contestants of a group take turns, and the least of their times counts: what else the machine does
at the moment then hits all of them alike. One thread, float32. A group is a list of :class:`Case`;
add one to ``GROUPS`` to compare more.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
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
    "relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "silu": F.silu, "gelu": F.gelu,
    "mish": F.mish, "selu": F.selu, "elu": F.elu, "celu": F.celu, "softplus": F.softplus, "softsign": F.softsign,
    "logsigmoid": F.logsigmoid, "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish, "hardtanh": F.hardtanh,
    "hardshrink": F.hardshrink, "softshrink": F.softshrink, "tanhshrink": F.tanhshrink, "leaky_relu": F.leaky_relu,
}  # fmt: skip
ONE_PARAMETER = {
    "leaky_relu": "negative_slope", "prelu": "negative_slope", "learnable_leaky_relu": "negative_slope", "elu": "alpha",
    "celu": "alpha", "swish": "beta", "softplus": "beta", "parametric_mish": "beta", "parametric_gelu": "sigma",
    "parametric_softsign": "width", "snake": "frequency", "softshrink": "lambd", "clip": "bound",
    "clipped_relu": "ceiling", "isru": "alpha", "squareplus": "b", "adaptive_slope": "slope",
}  # fmt: skip


def one_parameter() -> list[Case]:
    """Return every activation with one parameter, away from its default value: fixed, and learned."""
    cases = []
    for name, parameter in ONE_PARAMETER.items():
        for learn in ((), (parameter,)):
            module = activation(name, learn=learn, **{parameter: 0.7})
            cases.append(
                Case(f"{name}, {'learned' if learn else 'fixed'}", module, F.gelu, "F.gelu", 1.5)
            )
    return cases


GROUPS: dict[str, Callable[[], list[Case]]] = {
    "native": lambda: [Case(n, activation(n), call, f"F.{n}", 1.05) for n, call in NATIVE.items()],
    "one-parameter": one_parameter,
}


def seconds(call: Call, x: Tensor, gradient: Tensor) -> float:
    """Return the processor time of one forward and backward pass: other programs take none of it."""
    inputs = [x, *call.parameters()] if isinstance(call, torch.nn.Module) else [x]
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
    """Return least times in milliseconds of case and baseline, taken in turns, and the peak of memory."""
    ours, theirs = [], []
    for turn in range(rounds):
        pair = [(case.call, ours), (case.baseline, theirs)]
        for call, times in (
            pair if turn % 2 else reversed(pair)
        ):  # neither always finds the other's memory warm
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
    torch.ones(
        7_500_000
    )  # freed at once: from here on malloc keeps what it frees, or page faults hit some at random
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
