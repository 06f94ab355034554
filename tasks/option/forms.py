"""Prices as functions of moneyness, one for each maturity, in units of the discounted forward.

Each maps moneyness k ``(N,)`` and the number of a maturity ``(N,)`` to prices ``(N,)``.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch import Site

PriceForm = Literal["mixture", "positive", "icnn", "free"]

PAYOFF = "convex and monotone and derivative_bound <= 1"
"""What a unit must be for a positive sum of them to be a price."""

RANGE = 4.0
"""Standard deviations around the forward that atoms begin in."""


class AtomMixture(nn.Module):
    r"""Prices as expectations of pay-offs under probabilities of atoms.

    .. math:: c_j(k) = \sum_i p_i^j \, b \, \varphi\Big(\frac{x_i - k}{b}\Big), \qquad
              (I - A_j)^\top p^j = p^{j-1}

    Each generator :math:`A_j` moves probability to neighbouring atoms with non-negative rates and
    keeps the mean, so later prices are not below earlier ones at the same moneyness.

    Args:
        units: atoms.
        deviations: standard deviation at each maturity, about.

    References:
        Volatility interpolation, J. Andreasen and B. Huge, 2011, https://doi.org/10.2139/ssrn.1694972
    """

    unit: Tensor

    def __init__(self, units: int, deviations: Tensor) -> None:
        super().__init__()
        self.payoff = Site("relu", requires=PAYOFF)
        self.register_buffer("unit", deviations[-1])
        gap = 2 * RANGE / (units - 1)
        self.log_gaps = nn.Parameter(torch.full((units - 1,), gap).log())
        at = torch.linspace(-RANGE, RANGE, units) * float(deviations[-1] / deviations[0])
        self.logits = nn.Parameter(-at.square() / 2 + 0.1 * torch.randn(units))
        self.log_width = nn.Parameter(torch.tensor(0.5 * gap).log())
        added = (deviations.square().diff() / deviations[-1].square()).clamp_min(1e-3)
        self.log_rates = nn.Parameter(added.log()[:, None].repeat(1, units - 2))

    def atoms(self) -> Tensor:
        """Return where atoms are ``(units,)``; they rise, and their mean is the forward."""
        steps = F.pad(self.log_gaps.exp().cumsum(0), (1, 0))
        centred: Tensor = steps - (self.logits.softmax(0) * steps).sum()
        return 1 + self.unit * centred

    def probabilities(self) -> Tensor:
        """Return those of the atoms at each maturity ``(maturities, units)``."""
        found = [self.logits.softmax(0)]
        gaps = self.log_gaps.exp()
        below, above = gaps[:-1], gaps[1:]
        for rates in self.log_rates.exp():
            down, up = rates / (below * (below + above)), rates / (above * (below + above))
            zero = rates.new_zeros(1)
            diagonal = torch.cat([zero, down + up, zero])
            matrix = (
                torch.diag(1 + diagonal)
                - torch.diag(torch.cat([down, zero]), -1)
                - torch.diag(torch.cat([zero, up]), 1)
            )
            found.append(torch.linalg.solve(matrix.mT, found[-1]))
        return torch.stack(found)

    def forward(self, k: Tensor, maturity: Tensor) -> Tensor:
        """Return the expectation of the pay-offs."""
        width = self.unit * self.log_width.exp()
        paid = width * self.payoff((self.atoms() - k[:, None]) / width)
        price: Tensor = (self.probabilities()[maturity] * paid).sum(1)
        return price


class PriceNetwork(nn.Module):
    r"""One layer with output weights of at least 0; several that are input-convex; or free.

    The layers after the first of an input-convex network have weights of at least 0 and see the
    input as well.

    Args:
        form: ``positive``, ``icnn`` or ``free``.
        units: of a layer.
        depth: layers; 1 of ``positive``.
        deviations: as of :class:`AtomMixture`; with several maturities, theirs is a second input.
    """

    deviations: Tensor

    def __init__(self, form: PriceForm, units: int, depth: int, deviations: Tensor) -> None:
        super().__init__()
        self.constrained = form != "free"
        self.register_buffer("deviations", deviations)
        requires = PAYOFF if self.constrained else ""
        inputs = 1 + (len(deviations) > 1)
        self.payoffs = nn.ModuleList(Site("relu", requires=requires) for _ in range(depth))
        layers = [nn.Linear(inputs, units) for _ in range(depth)]
        self.inputs = nn.ModuleList(layers)
        self.between = nn.ModuleList(nn.Linear(units, units, bias=False) for _ in range(depth - 1))
        self.head = nn.Linear(units, 1)
        with torch.no_grad():
            places = RANGE * (2 * torch.rand(units) - 1)
            layers[0].bias.copy_(-layers[0].weight[:, 0] * places)

    def forward(self, k: Tensor, maturity: Tensor) -> Tensor:
        """Return what the network says."""
        spread = self.deviations[-1]
        x = ((k - 1) / spread)[:, None]
        if len(self.deviations) > 1:
            x = torch.cat([x, (self.deviations[maturity] / spread)[:, None]], 1)
        first, *payoffs = self.payoffs
        given_first, *inputs = self.inputs
        z = first(given_first(x))
        for payoff, given, before in zip(payoffs, inputs, self.between, strict=True):
            z = payoff(given(x) + F.linear(z, self._weights(before)))
        found = F.linear(z, self._weights(self.head), self.head.bias)[:, 0]
        return spread * found

    def _weights(self, layer: nn.Module) -> Tensor:
        weight = cast(Tensor, layer.weight)
        return weight.square() if self.constrained else weight
