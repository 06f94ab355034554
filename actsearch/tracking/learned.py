"""What an activation has learned, from the weights that a study keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from actsearch.activations import from_spec
from actsearch.activations.base import Activation
from actsearch.errors import ActsearchError
from actsearch.placement import Placement, SiteEntry
from actsearch.placement.replacement.start import start_at
from actsearch.search.study.record import StudyRun


def kept_weights(run: StudyRun, number: int) -> Path | None:
    """Return the weights of a trial: of a training of its confirmation, else of the search."""
    paths = [run.weights(number, "confirmed"), run.weights(number)]
    return next((path for path in paths if path.exists()), None)


def learned(run: StudyRun, placement: Placement, weights: Path) -> dict[str, Activation]:
    """Return the activations that have learned something, by site, as they were learned.

    A site whose weights are not found is left out.
    """
    found = {}
    try:
        with safe_open(weights, framework="pt") as file:
            names = set(file.keys())
            for site, entry in placement.sites.items():
                for prefix in _prefixes(site):
                    state = {
                        name.removeprefix(prefix): file.get_tensor(name)
                        for name in names
                        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
                    }
                    if (module := _loaded(entry, state)) is not None:
                        found[site] = module
                        break
    except (OSError, SafetensorError):  # a picture less
        return {}
    return found


def start_of(run: StudyRun, site: str, entry: SiteEntry) -> Activation:
    """Return a learned activation as it started: at what stood there, where its form can be that.

    :meth:`actsearch.placement.Placement.apply` says when.
    """
    module = entry.build(channels=1)
    free = [key for key in module.learn if key not in entry.parameters]
    own = next((one.specification for one in run.model_info.sites if one.name == site), {})
    return start_at(module, from_spec(own).plain(), free)[0] if own and free else module


def _prefixes(site: str) -> Iterator[str]:
    """Yield where the weights of a site may stand in a model."""
    path, _, call = site.partition("@")
    for place in (site, f"{path}.{call or 1}"):
        yield f"{place}."
        yield f"{place}.activation."


def _loaded(entry: SiteEntry, state: Mapping[str, Tensor]) -> Activation | None:
    """Return an activation with its learned state; ``None`` where the state is not its own."""
    channels = max((len(value) for value in state.values() if value.ndim), default=1)
    try:
        module = entry.build(channels=channels)
        if not module.has_learned() or set(state) != set(module.state_dict()):
            return None
        module.load_state_dict(dict(state))
    except (ActsearchError, RuntimeError):
        return None
    return module
