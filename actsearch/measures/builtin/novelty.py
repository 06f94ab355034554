"""How well a model tells what is novel to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError, MeasureError, UnknownNameError
from actsearch.measures.batch import arguments, rows
from actsearch.measures.fitted import ROWS, Fitted
from actsearch.measures.functional.novelty import (
    detection,
    neighbour_distance,
    typicality_gap,
)
from actsearch.measures.functional.site_runs import slope_at
from actsearch.measures.loaders import Part
from actsearch.measures.measure import Measure
from actsearch.measures.watched import WatchedSite, noting


class Novelty(Measure):
    r"""Telling the rows of the second data by saturation, ``auroc/SCORE`` and ``fpr95/SCORE``.

    ``saturation`` is the mean of :math:`1 - |\varphi'(z)| / L_\varphi` over units and sites, with
    the catalogue's ``derivative_bound``, or the largest slope on training rows where it has none.
    Do not rely on it: training saturates units on what is known, so that novel rows are often
    *less* saturated, mostly at the last site. ``typical`` keeps the idea and is two-sided: the mean
    over sites of how many deviations the saturation is off its mean on training rows. Beside them
    the field's own: ``max_softmax``, ``energy``, and ``neighbours``, the distance to the k-th
    nearest training embedding. A search that optimises it has seen the second data: judge what it
    finds on others. At most 5,000 rows of each split are looked at.

    Args:
        sites: ``all``, ``first``, ``last``, or a list of names. Do not choose them by this measure.
        k: which neighbour, at least 1.

    Raises:
        InvalidValueError: k is out of its range, or no site.
        UnknownNameError: a site that the module does not have.
        MeasureError: a site that does not see one row for each sample.

    References:
        A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks,
        D. Hendrycks and K. Gimpel, 2016, https://arxiv.org/abs/1610.02136

        Energy-based Out-of-distribution Detection, W. Liu, X. Wang, J. Owens and Y. Li, 2020,
        https://arxiv.org/abs/2010.03759

        Why ReLU networks yield high-confidence predictions far away from the training data, M.
        Hein, M. Andriushchenko and J. Bitterwolf, 2018, https://arxiv.org/abs/1812.05720
    """

    name = "novelty"
    direction = None
    needs = frozenset({"sites", "labels", "logits", "embeddings", "second_data"})

    def __init__(
        self, sites: Literal["all", "first", "last"] | list[str] = "all", k: int = 5
    ) -> None:
        if k < 1 or not sites:
            raise InvalidValueError(
                f"k must be at least 1 and sites name one or more, but got {k=}, {sites=}."
            )
        self.sites = sites
        self.k = k

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        known, novel = self.scores(fitted, fitted.part, "second")
        found = {name: detection(known[name], novel[name]) for name in known}
        return {
            f"{figure}/{name}": both[index]
            for index, figure in enumerate(("auroc", "fpr95"))
            for name, both in found.items()
        }

    @override
    def check(self, fitted: Fitted) -> None:
        names = {site.site.name for site in self._chosen(fitted).values()}
        samples = rows(arguments(fitted.module, fitted.first()))
        for site in fitted.sites:
            got = {len(z) for z in site.inputs} - {samples}
            if site.name in names and got:
                raise MeasureError(
                    f"{self.name} must see one row for each sample at a site, but got"
                    f" {got.pop()} for {samples} at {site.name}. Name other sites with"
                    f" --measure.{self.name}.sites."
                )

    def scores(self, fitted: Fitted, *parts: Part) -> list[dict[str, Tensor]]:
        """Return every score by name, larger for what is novel, of the rows of some splits.

        Args:
            fitted: the module.
            *parts: the splits.
        """
        chosen = self._chosen(fitted)
        usual, largest = self._slopes(fitted, "train", chosen)
        facts = [site.properties for site in chosen.values()]
        bound = torch.tensor([own.derivative_bound if own else math.inf for own in facts])
        bound = torch.where(bound.isfinite() & (bound > 0), bound, largest.clamp_min(1e-12))
        (reference,) = fitted.gather("embeddings", part="train", most=ROWS)
        found = []
        for part in parts:
            logits, embedded = fitted.gather("scores", "embeddings", part=part, most=ROWS)
            saturation = 1 - self._slopes(fitted, part, chosen)[0] / bound
            found.append(
                {
                    "typical": typicality_gap(saturation, 1 - usual / bound),
                    "saturation": saturation.mean(1),
                    "max_softmax": -logits.softmax(1).amax(1),
                    "energy": -logits.logsumexp(1),
                    "neighbours": neighbour_distance(embedded, reference, self.k),
                }
            )
        return found

    def _chosen(self, fitted: Fitted) -> dict[str, WatchedSite]:
        """Return the sites that are looked at, by their path in the watched copy."""
        _, standing = fitted.watched
        path = {site.site.name: path for path, site in standing.items()}
        names = [site.name for site in fitted.sites]
        if isinstance(self.sites, str):
            names = {"all": names, "first": names[:1], "last": names[-1:]}[self.sites]
        for name in self.sites if isinstance(self.sites, list) else ():
            if name not in names:
                raise UnknownNameError.among("site", name, names)
        wanted = self.sites if isinstance(self.sites, list) else names
        return {path[name]: standing[path[name]] for name in wanted}

    def _slopes(
        self, fitted: Fitted, part: Part, chosen: Mapping[str, WatchedSite]
    ) -> tuple[Tensor, Tensor]:
        """Return the mean of |φ'| over the units of each site ``(N, S)``, and its largest."""
        model, _ = fitted.watched
        model.eval()
        means: list[Tensor] = []
        largest: list[Tensor] = []
        for batch in fitted.batches(part):
            given, named = arguments(fitted.module, batch)
            seen: dict[str, list[Tensor]] = {}
            with noting(model, chosen, seen), torch.no_grad():
                model(*given, **named)
            slopes = [
                torch.cat([slope_at(site.function, z).flatten(1) for z in seen[path]], 1)
                .abs()
                .cpu()
                for path, site in chosen.items()
            ]
            means.append(torch.stack([slope.mean(1) for slope in slopes], 1))
            largest.append(torch.stack([slope.max() for slope in slopes]))
            if sum(map(len, means)) >= ROWS:
                break
        return torch.cat(means)[:ROWS], torch.stack(largest).amax(0)
