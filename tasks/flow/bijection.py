"""An elementwise bijection of every feature, whose activation is a site."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints
from zuko.transforms import DependentTransform
from zuko.utils import bisection

from actsearch import Site
from actsearch.activations.bijective import Bijective

REQUIRES = "bijective and minimum == -inf and maximum == inf"
"""Onto the whole real line: through a bounded bijection the density would not integrate to 1."""


class SiteTransform(Transform):
    r"""What stands at a site as an elementwise change of variables.

    An activation of class :class:`Bijective` brings its inverse and its log-derivative. For any
    other that is one to one, such as an expression, the derivative is taken by automatic
    differentiation and the inverse by bisection.

    Args:
        site: the site; its present activation is looked up at every call.
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True

    def __init__(self, site: Site) -> None:
        super().__init__(cache_size=0)
        self.site = site

    def _call(self, x: Tensor) -> Tensor:
        y: Tensor = self.site(x)  # through the site, so that whoever watches the site sees it run
        return y

    def _inverse(self, y: Tensor) -> Tensor:
        if isinstance(self.site.activation, Bijective):
            return self.site.activation.inverse(y)
        low, high = torch.full_like(y, -1e3), torch.full_like(y, 1e3)
        # 2e3 / 2^60 is below float64's resolution.
        return cast(Tensor, bisection(self.site, y, low, high, n=60))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the elementwise log-derivative at x."""
        if isinstance(self.site.activation, Bijective):
            return self.site.activation.log_abs_derivative(x)
        training = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            point = x if x.requires_grad else x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.site(point).sum(), point, create_graph=training)
        return slope.abs().log()


class ElementwiseBijection(nn.Module):
    """The same searched bijection on every feature."""

    def __init__(self, name: str, **parameters: Any) -> None:
        super().__init__()
        self.activation = Site(name, requires=REQUIRES, **parameters)

    def forward(self) -> Transform:
        """Return the change of variables with the present parameters."""
        return cast(Transform, DependentTransform(SiteTransform(self.activation), 1))
