"""Sparsity that the activations promise."""

from __future__ import annotations

from statistics import fmean

from typing_extensions import override

from actsearch.measures.fitted import Fitted
from actsearch.measures.known_facts import known_facts
from actsearch.measures.measure import Measure


class ExpectedSparsity(Measure):
    r"""Probability that an output is exactly 0, of the catalogue, averaged over the sites.

    .. math:: P(\varphi(z) = 0), \quad z \sim N(0, 1)

    ReLU has 0.5, a leaky ReLU 0; of a learned activation it is that of its start. ``sparsity`` has
    the share that a trained network comes to.

    Raises:
        MeasureError: an activation that the catalogue does not know, with its site.
    """

    name = "expected_sparsity"
    direction = "max"
    needs = frozenset({"sites"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        return fmean(facts.sparsity for facts in known_facts(fitted, self.name, "sparsity"))

    @override
    def check(self, fitted: Fitted) -> None:
        self(fitted)
