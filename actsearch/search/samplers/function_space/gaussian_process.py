"""A Gaussian process over activations as functions, several sites, and other parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actsearch.search.samplers.function_space.encoding import Encoding
from actsearch.search.samplers.function_space.kernel import Kernel, Prior, Term
from actsearch.search.samplers.function_space.metric import METRIC
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]

VIEWS = tuple(METRIC.lengths)
"""Names of the views of a function, in the order of :attr:`Features.views`."""

JOINT, AVERAGE = "all sites", "average"


@dataclass(frozen=True)
class GaussianProcess:
    """What is expected of configurations before any data.

    Args:
        encoding: the parameters.
        kernel: the covariance function over :meth:`distances`.
    """

    encoding: Encoding
    kernel: Kernel

    @classmethod
    def of(cls, encoding: Encoding, settings: Settings = DEFAULTS) -> GaussianProcess:
        r"""Return the process over the configurations of an encoding.

        .. math::
            k = \sum_{g} \sigma_g^2 \Big( \sum_s \sigma_s^2 M(D_{sg})
                + \sigma_J^2 M(\overline{D_{sg}}) + \sigma_A^2 M(D_{\bar{s} g}) \Big)
                + \sigma_O^2 M(D_O) + \sigma_P^2 M(D_{\bar{s}} + D_O)

        over the views :math:`g` of a function (:class:`Features`) and the sites :math:`s`: what
        each site adds, the combination of all, and the features averaged over sites; :math:`O` are
        the other parameters, if any. One site has the first of the three terms alone.
        """
        sites = [_site(i) for i in range(len(encoding.activations))]
        several = len(sites) > 1
        learned = settings.learned_deviation
        view_lengths = {v: Prior.around(METRIC.lengths[v], learned) for v in VIEWS}
        other_length = Prior.around(*settings.other_length)
        other_variance = Prior.around(*settings.other_variance)
        lengths: dict[str, Prior] = {}
        variances: dict[str, Prior] = {}
        terms: list[Term] = []

        if sites:
            variances |= {v: Prior.around(METRIC.variances[v], learned) for v in VIEWS}
        if several:
            whole = Prior.around(*settings.site_variance)
            each = Prior(whole.mean - math.log(len(sites)), whole.deviation)
            variances |= dict.fromkeys(sites, each)
            variances[JOINT] = Prior.around(*settings.joint_variance)
            variances[AVERAGE] = Prior.around(*settings.average_variance)
        for group in [*sites, JOINT, AVERAGE] if several else sites:
            scale = "site" if group in sites else group  # sites share their length scales
            for view in VIEWS:
                lengths[_name_of(view, scale)] = view_lengths[view]
                factors = (view, group) if several else (view,)
                terms.append(Term(((_name_of(view, group), _name_of(view, scale)),), factors))
        others = [_other(i) for i in range(len(encoding.others))]
        if others:
            lengths |= dict.fromkeys(others, other_length)
            variances["others"] = other_variance
            terms.append(Term(tuple((name, name) for name in others), ("others",)))
        if others and sites:
            beside = "functions and others"
            functions = JOINT if several else sites[0]
            lengths |= {_name_of(view, beside): view_lengths[view] for view in VIEWS}
            lengths |= {_name_of(name, beside): other_length for name in others}
            variances[beside] = other_variance
            pairs = [(_name_of(view, functions), _name_of(view, beside)) for view in VIEWS]
            pairs += [(name, _name_of(name, beside)) for name in others]
            terms.append(Term(tuple(pairs), (beside,)))

        pair = (METRIC.noise, learned) if len(sites) == 1 else settings.several_noise
        noise = Prior.around(*pair)
        return cls(encoding, Kernel(tuple(terms), lengths, variances, noise, settings.jitter))

    @property
    def prior_means(self) -> Array:
        """The logarithms of the hyperparameters before any data."""
        return np.array([prior.mean for prior in self.kernel.priors])

    def distances(self, rows: Array, data: Array) -> dict[str, Array]:
        """Return the squared distances that the kernel needs, between configurations and data."""
        count = len(self.encoding.activations)
        result: dict[str, Array] = {}
        average_left, average_right = (dict.fromkeys(VIEWS, np.zeros(1)) for _ in range(2))
        for i, dimension in enumerate(self.encoding.activations):
            assert dimension.features is not None, "activations have features"
            left, right = (part[:, i].astype(np.intp) for part in (rows, data))
            for name, view in zip(VIEWS, dimension.features.views, strict=True):
                a, b = view[left], view[right]
                result[_name_of(name, _site(i))] = _squared(a, b)
                if count > 1:
                    average_left[name] = average_left[name] + a / count
                    average_right[name] = average_right[name] + b / count
        if count > 1:
            for name in VIEWS:
                of_sites = (result[_name_of(name, _site(i))] for i in range(count))
                result[_name_of(name, JOINT)] = sum(of_sites, start=np.zeros(1)) / count
                result[_name_of(name, AVERAGE)] = _squared(average_left[name], average_right[name])
        for i, dimension in enumerate(self.encoding.others):
            difference = rows[:, count + i][:, None] - data[:, count + i][None]
            squared = (difference != 0).astype(float) if dimension.size else difference**2
            result[_other(i)] = squared
        return result


def _site(place: int) -> str:
    return f"site {place}"


def _name_of(view: str, group: str) -> str:
    """Return the name of a distance or length scale: of a view of a function, in a group."""
    return f"{view} of {group}"


def _other(place: int) -> str:
    return f"other {place}"


def _squared(a: Array, b: Array) -> Array:
    squared: Array = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
    np.maximum(squared, 0, out=squared)
    return squared
