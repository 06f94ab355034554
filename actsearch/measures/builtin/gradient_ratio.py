"""How much of the gradient is left at the first site."""

from __future__ import annotations

import math

from typing_extensions import override

from actsearch.measures.builtin.gradient_flow import training_runs
from actsearch.measures.fitted import Fitted
from actsearch.measures.measure import Measure


class GradientRatio(Measure):
    r"""Gradient at the first run of the first site over that at the last run of the last one.

    .. math:: \sqrt{E[(\partial L / \partial z_1)^2] / E[(\partial L / \partial z_K)^2]}

    Of one training batch; the mean is over samples and units, so widths may differ. Over depth in a
    feedforward network, over time in a recurrent one: near 0 gradients vanish on their way back,
    far above 1 they explode; neither direction is better. It is ``inf`` where none reaches the last
    run.

    References:
        On the difficulty of training recurrent neural networks, R. Pascanu, T. Mikolov and Y.
        Bengio, 2013, https://arxiv.org/abs/1211.5063
    """

    name = "gradient_ratio"
    direction = None
    needs = frozenset({"sites", "loss"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        runs = list(training_runs(fitted).values())
        ends = runs[0][0], runs[-1][-1]
        first, last = (float(run.gradient.double().square().mean()) for run in ends)
        return math.sqrt(first / last) if last else math.inf
