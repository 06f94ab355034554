"""The surrogate of a study: a Gaussian process over activations as functions, several sites, and other parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actsearch.search.samplers.function_space.encoding import Space
from actsearch.search.samplers.function_space.kernel import Kernel, Prior, Term, fit
from actsearch.search.samplers.function_space.model_average import Mixture

Array = NDArray[np.float64]

FITTED = 160
"""Hyperparameters are fitted to at most that many trials; every trial conditions the prediction."""

CHUNK = 512


class Earlier(Protocol):
    """What is expected of configurations on earlier problems."""

    @property
    def odds(self) -> Array:
        """How likely it is that each problem alone tells of this one, against that none does."""

    def __call__(self, rows: Array) -> Array:
        """Return an array with a row a configuration and a column a problem."""


# Centred on what maximises the marginal likelihood of a few hundred trainings; narrow, because a
# search has a few dozen. Values, slopes, even and odd part, descriptors; centres from
# ``benchmarks/tables/metric.py``.
LENGTHS = (
    Prior(math.log(130.0), 0.5),
    Prior(math.log(1.43), 0.5),
    Prior(math.log(49.9), 0.5),
    Prior(0.0, 0.5),
)
VARIANCES = (
    Prior(math.log(0.078), 0.5),
    Prior(math.log(0.056), 0.5),
    Prior(math.log(0.71), 0.5),
    Prior(math.log(0.87), 0.5),
)
NOISE = Prior(math.log(0.069), 0.5)
# What each site adds is little beside the combination of all, and beside which functions there are
# at all.
SITE, JOINT, AVERAGE = (
    Prior(math.log(0.3), 0.4),
    Prior(math.log(1.0), 0.4),
    Prior(math.log(0.4), 0.4),
)
OTHER_NOISE = Prior(math.log(0.07), 1.0)
OTHER_LENGTH = Prior(math.log(0.7), 0.8)
OTHER_VARIANCE = Prior(math.log(0.4), 1.0)


@dataclass(frozen=True)
class Surrogate:
    """A model of the score of a configuration.

    Args:
        space: the parameters.
        kernel: the covariance function over :meth:`distances`.
    """

    space: Space
    kernel: Kernel

    @classmethod
    def of(cls, space: Space) -> Surrogate:
        r"""Return the surrogate of a space.

        .. math::
            k = \sum_{g} \sigma_g^2 \Big( \sum_s \sigma_s^2 M(D_{sg}) + \sigma_J^2 M(\overline{D_{sg}}) + \sigma_A^2 M(D_{\bar{s} g}) \Big)
                + \sigma_O^2 M(D_O) + \sigma_P^2 M(D_{\bar{s}} + D_O)

        over the views :math:`g` of a function (:class:`Features`) and the sites :math:`s`: what
        each site adds, the combination of all, and the features averaged over sites; :math:`O` are
        the other parameters, if any. One site has the first of the three terms alone.
        """
        sites, others = len(space.activations), len(space.others)
        groups = (*range(sites), sites, sites + 1) if sites > 1 else tuple(range(sites))
        views = len(LENGTHS)
        lengths: list[Prior] = []
        variances: list[Prior] = []
        terms: list[Term] = []
        if sites:
            variances += VARIANCES
            if sites > 1:
                variances += [Prior(SITE.mean - math.log(sites), SITE.deviation)] * sites + [
                    JOINT,
                    AVERAGE,
                ]
            for group in groups:
                if group == 0 or group >= sites:  # sites share their length scales
                    lengths += LENGTHS
                start = len(lengths) - views
                for view in range(views):
                    factors = (view, views + group) if sites > 1 else (view,)
                    terms.append(Term(((views * group + view, start + view),), factors))
        if others:
            first, shift = views * len(groups), len(lengths)
            lengths += [OTHER_LENGTH] * others
            own = tuple((first + i, shift + i) for i in range(others))
            terms.append(Term(own, (len(variances),)))
            variances.append(OTHER_VARIANCE)
            if sites:
                joint = sites * views if sites > 1 else 0
                base = len(lengths)
                lengths += [*LENGTHS, *[OTHER_LENGTH] * others]
                functions = tuple((joint + view, base + view) for view in range(views))
                crossed = tuple((first + i, base + views + i) for i in range(others))
                terms.append(Term(functions + crossed, (len(variances),)))
                variances.append(OTHER_VARIANCE)
        return cls(
            space,
            Kernel(
                tuple(terms), tuple(lengths), tuple(variances), NOISE if sites == 1 else OTHER_NOISE
            ),
        )

    def distances(self, rows: Array, data: Array) -> list[Array]:
        """Return the squared distances that the kernel needs, between configurations and those of the data."""
        sites = [dimension.features for dimension in self.space.activations]
        result: list[Array] = []
        views = len(LENGTHS)
        averages = [[np.zeros(1)] * views, [np.zeros(1)] * views]
        for s, features in enumerate(sites):
            assert features is not None, "activations have features"
            left, right = (part[:, s].astype(np.intp) for part in (rows, data))
            for g, view in enumerate(features.views):
                a, b = view[left], view[right]
                result.append(_squared(a, b))
                if len(sites) > 1:
                    averages[0][g] = averages[0][g] + a / len(sites)
                    averages[1][g] = averages[1][g] + b / len(sites)
        if len(sites) > 1:
            result += [
                sum(result[g : views * len(sites) : views], start=np.zeros(1)) / len(sites)
                for g in range(views)
            ]
            result += [_squared(a, b) for a, b in zip(*averages, strict=True)]
        for i, dimension in enumerate(self.space.others, start=len(sites)):
            difference = rows[:, i][:, None] - data[:, i][None]
            result.append((difference != 0).astype(float) if dimension.size else difference**2)
        return result

    def fitted(
        self, rows: Array, scores: Array, doubt: Array, rng: np.random.Generator, earlier: Earlier
    ) -> Model:
        """Return the surrogate that has seen configurations and their scores.

        Args:
            rows: the configurations.
            scores: theirs, of zero mean and a variance near 1.
            doubt: variance of each score beside the noise of a training.
            rng: draws the data that the hyperparameters are fitted to, where there are many.
            earlier: gives what is expected of configurations on each earlier problem.
        """
        part = None
        if len(rows) > FITTED:
            order = np.argsort(-scores, kind="stable")
            part = np.sort(
                np.concatenate(
                    [order[: FITTED // 2], rng.permutation(order[FITTED // 2 :])[: FITTED // 2]]
                )
            )
        θ = fit(self.kernel, self.distances(rows, rows), scores, doubt, part)
        return Model.of(self, earlier, θ, rows, scores, doubt)


@dataclass(frozen=True)
class Model:
    """A surrogate that has seen data.

    Args:
        surrogate: the kernel and its distances.
        earlier: what is expected of configurations on each earlier problem.
        rows: the configurations.
        scores: theirs.
        doubt: variance of each score beside the noise of a training.
        mixture: what these tell.
    """

    surrogate: Surrogate
    earlier: Earlier
    rows: Array
    scores: Array
    doubt: Array
    mixture: Mixture

    @classmethod
    def of(
        cls,
        surrogate: Surrogate,
        earlier: Earlier,
        θ: Array,
        rows: Array,
        scores: Array,
        doubt: Array,
    ) -> Model:
        """Condition on data."""
        known = surrogate.distances(rows, rows)
        mixture = Mixture.of(surrogate.kernel, θ, known, earlier(rows), earlier.odds, scores, doubt)
        return cls(surrogate, earlier, rows, scores, doubt, mixture)

    def hypotheses(self, rows: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the score of configurations under each hypothesis on earlier problems."""
        parts = [
            self.mixture.predict(self.surrogate.distances(p, self.rows), self.earlier(p))
            for p in chunks(rows)
        ]
        return np.concatenate([mean for mean, _ in parts], 1), np.concatenate(
            [deviation for _, deviation in parts], 1
        )

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the score of configurations."""
        means, deviations = self.hypotheses(rows)
        probability = np.exp(self.mixture.evidence)
        mean = probability @ means
        return mean, np.sqrt(probability @ (deviations**2 + (means - mean) ** 2))

    def believing(self, rows: Array) -> Model:
        """Return the model as if configurations in flight had given what it expects of them: it is sure of them, no wiser."""
        if not len(rows):
            return self
        every = np.concatenate([self.rows, rows])
        scores = np.concatenate([self.scores, self.predict(rows)[0]])
        doubt = np.concatenate([self.doubt, np.zeros(len(rows))])
        return Model.of(self.surrogate, self.earlier, self.mixture.θ, every, scores, doubt)


def _squared(a: Array, b: Array) -> Array:
    squared: Array = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
    np.maximum(squared, 0, out=squared)
    return squared


def chunks(rows: Array) -> Iterator[Array]:
    """Cut configurations into parts that are predicted at a time."""
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]
