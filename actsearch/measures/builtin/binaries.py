"""Binary variables that a mixed-integer program of a network needs."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.regions import lines
from actsearch.measures.measure import Measure
from actsearch.measures.piecewise_linear import unit_pieces


class Binaries(Measure):
    """Binary variables of a network as a mixed-integer program, one for each knot of each unit.

    ``possible`` counts every knot: ReLU and leaky ReLU take one a unit, a clipped ReLU two.
    ``crossed`` counts those between the least and the largest value of a batch; the others cost
    nothing where inputs are like these. A unit of a site that runs several times counts each time.

    Raises:
        MeasureError: an activation that is not continuous and piecewise linear, with its site.

    References:
        Evaluating Robustness of Neural Networks with Mixed Integer Programming, V. Tjeng, K. Xiao
        and R. Tedrake, 2017, https://arxiv.org/abs/1711.07356
    """

    name = "binaries"
    direction = "min"
    needs = frozenset({"sites"})

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        possible = crossed = 0
        for site in fitted.sites:
            for z in site.inputs:
                shape = tuple(z.shape[1:])
                units = unit_pieces(site.name, site.activation, site.function, shape, self.name)
                unit, knots = lines(units)
                entering = z.double().flatten(1).cpu().numpy()
                low, high = entering.min(0)[unit], entering.max(0)[unit]
                possible += len(knots)
                crossed += int(np.count_nonzero((low < knots) & (knots < high)))
        return {"possible": possible, "crossed": crossed}

    @override
    def check(self, fitted: Fitted) -> None:
        self(fitted)
