"""A Gaussian process over activations as functions, several sites, and other parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from actsearch.search.samplers.function_space.distances import (
    AlikeSites,
    Distances,
    squared_distances,
)
from actsearch.search.samplers.function_space.encoding import Encoding
from actsearch.search.samplers.function_space.kernel import Kernel, Prior, Term
from actsearch.search.samplers.function_space.metric import METRIC
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]

VIEWS = tuple(METRIC.lengths)
"""Names of the views of a function, in the order of :attr:`Features.views`."""

SITE, JOINT, AVERAGE = "site", "all sites", "average"

TABULATED = 1024
"""Sites of more choices have distances of their own."""


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
        sites = tuple(f"site {i}" for i in range(len(encoding.activations)))
        several = len(sites) > 1
        learned = settings.learned_deviation
        view_lengths = {v: Prior.around(METRIC.lengths[v], learned) for v in VIEWS}
        other_length = Prior.around(*settings.other_length)
        other_variance = Prior.around(*settings.other_variance)
        lengths: dict[str, Prior] = {}
        variances: dict[str, Prior] = {}
        terms: list[Term] = []
        site_terms: list[Term] = []

        if sites:
            variances |= {v: Prior.around(METRIC.variances[v], learned) for v in VIEWS}
        if several:
            whole = Prior.around(*settings.site_variance)
            each = Prior(whole.mean - math.log(len(sites)), whole.deviation)
            variances |= dict.fromkeys(sites, each)
            variances[JOINT] = Prior.around(*settings.joint_variance)
            variances[AVERAGE] = Prior.around(*settings.average_variance)
        for group in (SITE, JOINT, AVERAGE) if several else (SITE,) * len(sites):
            for view in VIEWS:
                name = _name_of(view, group)
                lengths[name] = view_lengths[view]
                factors = (view,) if group == SITE else (view, group)
                kind = site_terms if several and group == SITE else terms
                kind.append(Term(((name, name),), factors))
        others = [_other(i) for i in range(len(encoding.others))]
        if others:
            lengths |= dict.fromkeys(others, other_length)
            variances["others"] = other_variance
            terms.append(Term(tuple((name, name) for name in others), ("others",)))
        if others and sites:
            beside = "functions and others"
            functions = JOINT if several else SITE
            lengths |= {_name_of(view, beside): view_lengths[view] for view in VIEWS}
            lengths |= {_name_of(name, beside): other_length for name in others}
            variances[beside] = other_variance
            pairs = [(_name_of(view, functions), _name_of(view, beside)) for view in VIEWS]
            pairs += [(name, _name_of(name, beside)) for name in others]
            terms.append(Term(tuple(pairs), (beside,)))

        pair = (METRIC.noise, learned) if len(sites) == 1 else settings.several_noise
        noise = Prior.around(*pair)
        kernel = Kernel(
            tuple(terms),
            tuple(site_terms),
            sites if several else (),
            lengths,
            variances,
            noise,
            settings.jitter,
        )
        return cls(encoding, kernel)

    @property
    def prior_means(self) -> Array:
        """The logarithms of the hyperparameters before any data."""
        return np.array([prior.mean for prior in self.kernel.priors])

    def distances(self, rows: Array, data: Array) -> Distances:
        """Return the squared distances that the kernel needs, between configurations and data."""
        count = len(self.encoding.activations)
        squared: dict[str, Array] = {}
        alike: tuple[AlikeSites, ...] = ()
        if count == 1:
            left, right = (part[:, 0].astype(np.intp) for part in (rows, data))
            for name, view in self._views(0).items():
                squared[_name_of(name, SITE)] = squared_distances(view[left], view[right])
        elif count:
            squared, alike = self._of_several_sites(rows, data)
        for i, dimension in enumerate(self.encoding.others):
            difference = rows[:, count + i][:, None] - data[:, count + i][None]
            unequal = (difference != 0).astype(float) if dimension.size else difference**2
            squared[_other(i)] = unequal
        return Distances((len(rows), len(data)), squared, alike)

    def _of_several_sites(
        self, rows: Array, data: Array
    ) -> tuple[dict[str, Array], tuple[AlikeSites, ...]]:
        count = len(self.encoding.activations)
        joint, average_left, average_right = (dict.fromkeys(VIEWS, np.zeros(1)) for _ in range(3))
        groups = []
        for sites in self._alike:
            views = self._views(sites[0])
            (of_rows, left), (of_data, right) = (_occurring(x[:, sites]) for x in (rows, data))
            between = {
                _name_of(name, SITE): squared_distances(view[of_rows], view[of_data])
                for name, view in views.items()
            }
            group = AlikeSites(sites, between, left, right)
            groups.append(group)
            weights = np.full(len(sites), 1 / count)
            for name, view in views.items():
                joint[name] = joint[name] + group.total(between[_name_of(name, SITE)], weights)
                average_left[name] = average_left[name] + group.added(view[of_rows]) / count
                for place in of_data[right].T:
                    average_right[name] = average_right[name] + view[place] / count
        squared = {}
        for name in VIEWS:
            squared[_name_of(name, JOINT)] = np.maximum(joint[name], 0)
            squared[_name_of(name, AVERAGE)] = squared_distances(
                average_left[name], average_right[name]
            )
        return squared, tuple(groups)

    @cached_property
    def _alike(self) -> list[NDArray[np.intp]]:
        """The sites, those of the same choices together."""
        groups: dict[tuple[int, int], list[int]] = {}
        for i, dimension in enumerate(self.encoding.activations):
            alone = dimension.size > TABULATED
            groups.setdefault((id(dimension.features), i if alone else 0), []).append(i)
        return [np.array(sites) for sites in groups.values()]

    def _views(self, site: int) -> dict[str, Array]:
        features = self.encoding.activations[site].features
        assert features is not None, "activations have features"
        return dict(zip(VIEWS, features.views, strict=True))


def _occurring(numbers: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the choices that occur, and which of them each number is."""
    choices, place = np.unique(numbers.astype(np.intp), return_inverse=True)
    return choices, place.reshape(numbers.shape)


def _name_of(view: str, group: str) -> str:
    """Return the name of a distance or length scale: of a view of a function, in a group."""
    return f"{view} of {group}"


def _other(place: int) -> str:
    return f"other {place}"
