"""Squared distances at several sites: worked out between choices, which are few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Array = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class AlikeSites:
    """Sites that have the same choices, of configurations and of data.

    What depends on the two choices at a site alone is a table, of far fewer entries than there are
    configurations, data and sites.

    Args:
        sites: their places among all.
        squared: squared distances between the choices that occur, by name: (left, right) each.
        left: where the choices of configurations stand in these tables, (configurations, sites).
        right: the same of the data, (data, sites).
    """

    sites: Places
    squared: Mapping[str, Array]
    left: Places
    right: Places

    def total(self, table: Array, weights: Array) -> Array:
        r"""Return :math:`\sum_s w_s T_{l_s r_s}` of a table, (configurations, data)."""
        chosen, site, choice = self._terms
        terms = np.empty((len(site), len(self.right)))
        ends = np.searchsorted(site, np.arange(len(self.sites) + 1))
        for s, weight in enumerate(weights):
            part = slice(ends[s], ends[s + 1])
            terms[part] = weight * table[choice[part]].take(self.right[:, s], 1)
        result: Array = chosen @ terms
        return result

    def added(self, features: Array) -> Array:
        """Return the features of the choices, added over the sites, of each configuration."""
        chosen, _, choice = self._terms
        result: Array = chosen @ features[choice]
        return result

    @cached_property
    def _terms(self) -> tuple[csr_array, Places, Places]:
        """Return which terms each configuration's sums have; their sites, in order, and choices."""
        rows, sites = self.left.shape
        choices = self.left.max() + 1
        used, place = np.unique(self.left + choices * np.arange(sites), return_inverse=True)
        ends = np.arange(0, rows * sites + 1, sites)
        chosen = csr_array((np.ones(rows * sites), place.ravel(), ends), shape=(rows, len(used)))
        return chosen, used // choices, used % choices


@dataclass(frozen=True)
class Distances:
    """Squared distances of configurations to data.

    Args:
        shape: how many of both.
        squared: between configurations, by name.
        alike: where there are several sites, those of the same choices together.
    """

    shape: tuple[int, int]
    squared: Mapping[str, Array]
    alike: tuple[AlikeSites, ...] = ()


@dataclass(frozen=True)
class PairedSites:
    """Sites that have the same choices, of pairs of data.

    Args:
        sites: their places among all.
        squared: squared distances between the pairs of choices that occur, by name.
        places: which of these pairs it is, (sites, pairs of data).
    """

    sites: Places
    squared: Mapping[str, Array]
    places: Places

    def gathered(self, weights: Array) -> Array:
        """Return the sum of weights, (sites, pairs of data), over each pair of choices."""
        count = len(next(iter(self.squared.values())))
        sums: Array = np.bincount(self.places.ravel(), weights.ravel(), count).astype(float)
        return sums


@dataclass(frozen=True)
class Pairs:
    """Squared distances between data, each pair once.

    Args:
        lower: row and column of each pair in a matrix, below its diagonal.
        squared: between configurations, by name.
        alike: where there are several sites, those of the same choices together.
    """

    lower: tuple[Places, Places]
    squared: Mapping[str, Array]
    alike: tuple[PairedSites, ...] = ()

    @classmethod
    def of(cls, distances: Distances) -> Pairs:
        """Return the pairs, of the distances of data to themselves."""
        lower = np.tril_indices(distances.shape[0], -1)
        squared = {name: matrix[lower] for name, matrix in distances.squared.items()}
        return cls(lower, squared, tuple(_paired(group, *lower) for group in distances.alike))


def _paired(group: AlikeSites, row: Places, column: Places) -> PairedSites:
    one, other = group.left[row].T, group.left[column].T
    size = group.left.max() + 1
    codes = np.maximum(one, other) * size + np.minimum(one, other)  # the same both ways
    occurs = np.zeros(size * size, dtype=bool)
    occurs[codes] = True
    squared = {name: table.ravel()[occurs] for name, table in group.squared.items()}
    return PairedSites(group.sites, squared, (np.cumsum(occurs) - 1)[codes])


def squared_distances(a: Array, b: Array) -> Array:
    """Return the squared Euclidean distances between the rows of two arrays."""
    squared: Array = -2 * a @ b.T
    squared += (a * a).sum(1)[:, None]
    squared += (b * b).sum(1)
    np.maximum(squared, 0, out=squared)
    return squared
