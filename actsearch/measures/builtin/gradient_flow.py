"""What reaches each site forward and backward."""

from __future__ import annotations

from dataclasses import fields

import torch
from typing_extensions import override

from actsearch.errors import UnknownNameError
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.gradient_flow import SiteFlow, gradient_flow
from actsearch.measures.measure import Measure
from actsearch.measures.watched import noting

QUANTITIES = tuple(field.name for field in fields(SiteFlow) if field.name != "name")


class GradientFlow(Measure):
    """What each site sees of one training batch, by ``QUANTITY/SITE``.

    Args:
        quantities: of ``variance`` (of the input), ``gradient_norm``, ``gradient_variance``,
            ``sparsity``, ``dead`` and ``kappa`` (relative gradient noise).

    Raises:
        UnknownNameError: a quantity that does not exist.

    References:
        Understanding the difficulty of training deep feedforward neural networks, X. Glorot and Y.
        Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html
    """

    name = "gradient_flow"
    direction = None
    needs = frozenset({"sites", "loss"})

    def __init__(self, quantities: tuple[str, ...] = ("gradient_norm", "sparsity", "dead")) -> None:
        for quantity in quantities:
            if quantity not in QUANTITIES:
                raise UnknownNameError.among("quantity of gradient_flow", quantity, QUANTITIES)
        self.quantities = quantities

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        model, sites = fitted.watched
        model.eval()
        batch = fitted.first("train")
        ran: dict[str, torch.Tensor] = {}
        with noting(model, sites, ran):  # a site that training does not run through has no gradient
            fitted.loss(batch, model)
        flows = gradient_flow(model, lambda: fitted.loss(batch, model), ran)
        return {
            f"{quantity}/{sites[flow.name].site.name}": getattr(flow, quantity)
            for flow in flows
            for quantity in self.quantities
        }
