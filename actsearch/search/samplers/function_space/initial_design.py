"""How a search begins: before there are data that a model could learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actsearch.activations.registry import canonical_name
from actsearch.search.samplers.function_space.candidates import draw, random_untried, with_fixed
from actsearch.search.samplers.function_space.encoding import Encoding
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]


def initial(
    encoding: Encoding,
    tried: Array,
    fixed: dict[int, float],
    rng: np.random.Generator,
    transfer: bool,
    settings: Settings = DEFAULTS,
) -> Array | None:
    """Return what a search begins with; ``None`` where its beginning is over.

    One site: the next initial activation that was not tried. Several: random placements, which tell
    more of what each site needs than the same activation everywhere.

    Args:
        encoding: the parameters.
        tried: configurations that were tried or are in flight.
        fixed: numbers that are given, by place in the row.
        rng: source of randomness.
        transfer: whether source tasks tell of functions.
        settings: what it begins with.
    """
    sites = len(encoding.activations)
    if sites > 1:
        wanted = settings.initial_placements + settings.initial_placements_per_site * sites
        if len(tried) >= min(wanted, settings.initial_placements_most):
            return None
        return random_untried(encoding, tried, fixed, rng, settings)
    names = settings.initial_activations
    if transfer:
        names = names[: settings.initial_with_transfer]
    if not sites or len(tried) >= 2 * len(names):  # others, enqueued say, have begun it
        return None
    known = [canonical_name(str(choice)) for choice in encoding.activations[0].choices]
    for name in names:
        if name not in known:
            continue
        row: Array = draw(encoding, 1, rng)[0]
        row[0] = known.index(name)
        row = with_fixed(row[None], fixed)[0]
        if not (tried[:, 0] == row[0]).any():
            return row
    return None
