"""Speed of the flexible activations beside the packages that have them, as ratios in one run.

Forward plus backward (input and coefficients), float32, 10⁶ elements, one thread; the contestants
take turns, and the least time of each counts. Run: ``python benchmarks/flexible.py``.

References:
    rational-activations 0.2.0, versions A and B of its PyTorch evaluation,
    https://pypi.org/project/rational-activations
    efficient-kan, ``KANLinear.b_splines``, https://github.com/Blealtan/efficient-kan

"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch.activations import activation

ELEMENTS = 1_000_000
ROUNDS = 15


class PackagedRational(nn.Module):
    """The way of rational-activations: powers stacked, weighted, summed.

    A sums absolute terms, B takes one.
    """

    def __init__(self, version: str, numerator: int = 5, denominator: int = 4) -> None:
        super().__init__()
        self.version = version
        self.p = nn.Parameter(torch.full((numerator + 1,), 0.1))
        self.q = nn.Parameter(torch.full((denominator,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the quotient."""
        flat = x.view(-1)
        powers = [torch.ones_like(flat), flat]
        while len(powers) < len(self.p):
            powers.append(powers[-1].mul(flat))
        stacked = torch.stack(powers, 1)
        above = stacked.mul(self.p).sum(1)
        if self.version == "A":
            padded = torch.cat([torch.ones(1), self.q, torch.zeros(len(self.p) - len(self.q) - 1)])
            below = stacked.mul(padded).abs().sum(1)
        else:
            below = 1 + stacked[:, 1 : len(self.q) + 1].mul(self.q).sum(1).abs()
        return above.div(below).view(x.shape)


class AllBases(nn.Module):
    """The way of efficient-kan: every basis function, then a linear map.

    The bases come by the recursion of Cox and de Boor.
    """

    def __init__(self, degree: int = 3, intervals: int = 8, bound: float = 4.0) -> None:
        super().__init__()
        self.degree = degree
        knots = torch.arange(-degree, intervals + degree + 1) * (2 * bound / intervals) - bound
        self.register_buffer("grid", knots.expand(1, -1).contiguous())
        self.weight = nn.Parameter(torch.full((1, intervals + degree), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighted sum of all bases."""
        grid: Tensor = self.grid
        z = x.view(-1, 1).unsqueeze(-1)
        bases = ((z >= grid[:, :-1]) & (z < grid[:, 1:])).to(z.dtype)
        for k in range(1, self.degree + 1):
            rising = (
                (z - grid[:, : -(k + 1)]) / (grid[:, k:-1] - grid[:, : -(k + 1)]) * bases[:, :, :-1]
            )
            falling = (grid[:, k + 1 :] - z) / (grid[:, k + 1 :] - grid[:, 1:-k]) * bases[:, :, 1:]
            bases = rising + falling
        return F.linear(bases.contiguous().view(z.shape[0], -1), self.weight).view(x.shape)


def least_times(contestants: dict[str, Callable[[Tensor], Tensor]]) -> dict[str, float]:
    """Return the least seconds of forward plus backward of each, taken in turns."""
    x = torch.randn(ELEMENTS, generator=torch.Generator().manual_seed(0)).mul_(2).requires_grad_()
    gradient = torch.ones(ELEMENTS)
    least = dict.fromkeys(contestants, float("inf"))
    for _ in range(ROUNDS):
        for name, function in contestants.items():
            x.grad = None
            start = time.perf_counter()
            function(x).backward(gradient)
            least[name] = min(least[name], time.perf_counter() - start)
    return least


def main() -> None:
    """Print the times, and the ratios that the targets are stated in."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    least = least_times(
        {
            "gelu": F.gelu,
            "rational (5,4)": activation("rational"),
            "rational-activations, A": PackagedRational("A"),
            "rational-activations, B": PackagedRational("B"),
            "bspline (3, 8)": activation("bspline", degree=3, intervals=8),
            "efficient-kan (3, 8)": AllBases(),
            "piecewise_linear (8)": activation("piecewise_linear"),
            "mixture of 4": activation("mixture"),
        }
    )
    for name, seconds in least.items():
        print(f"{name:26s} {seconds * 1e3:8.2f} ms   {seconds / least['gelu']:6.2f} × gelu")
    packaged = min(least["rational-activations, A"], least["rational-activations, B"])
    rational, spline = (
        packaged / least["rational (5,4)"],
        least["efficient-kan (3, 8)"] / least["bspline (3, 8)"],
    )
    print(f"rational (5,4): {rational:.2f} times as fast as rational-activations (target: 1)")
    print(f"bspline (3, 8): {spline:.2f} times as fast as efficient-kan (target: 2)")


if __name__ == "__main__":
    main()
