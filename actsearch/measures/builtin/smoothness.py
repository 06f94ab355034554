"""How often a network can be differentiated."""

from __future__ import annotations

from typing_extensions import override

from actsearch.activations.properties.breaks import HIGHEST_ORDER
from actsearch.measures.fitted import Fitted
from actsearch.measures.known_facts import known_facts
from actsearch.measures.measure import Measure


class Smoothness(Measure):
    """Least smoothness of all activations: the largest k such that each has k derivatives, up to 3.

    It is the catalogue's: 0 with a kink anywhere (ReLU), 1 where a second derivative jumps (ELU);
    3 stands for 3 and more, since jumps of higher derivatives are not looked for; -1 for a jump of
    the activation itself. Of a learned activation it holds for every value that training may reach.
    ``smoothness_on_segments`` measures the network, with what stands between the activations.

    Raises:
        MeasureError: an activation that the catalogue does not know, with its site.
    """

    name = "smoothness"
    direction = "max"
    needs = frozenset({"sites"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        facts = known_facts(fitted, self.name, "smoothness_on_segments")
        return min(HIGHEST_ORDER, *(each.smoothness for each in facts))

    @override
    def check(self, fitted: Fitted) -> None:
        self(fitted)
