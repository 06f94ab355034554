"""A trained network that is affine between its sites, and piecewise linear at them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actsearch.errors import MeasureError
from actsearch.measures.batch import arguments
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.affine import check_affine
from actsearch.measures.functional.pieces import Array, Pieces, pieces
from actsearch.measures.watched import WatchedSite, noting

CHUNK = 2048
"""Rows of a forward pass."""


@dataclass(frozen=True)
class PiecewiseLinearSite:
    """A site with the linear pieces of its units.

    Args:
        name: of the site.
        shape: of a sample that enters it.
        units: the pieces of each element of a sample, flattened.
    """

    name: str
    shape: tuple[int, ...]
    units: tuple[Pieces, ...]


class PiecewiseLinearNetwork:
    """A fitted network in double precision, with the pieces of every unit.

    Args:
        fitted: the module; it need not be trained yet, and stays as it is.
        what: asks for it, such as the name of a measure; begins each message.

    Attributes:
        shape: of a sample of the input.
        sites: in the order of the forward pass.

    Raises:
        MeasureError: the model does not take one tensor of numbers; an activation that is not
            continuous and piecewise linear, or that runs several times, with its site.
        InvalidValueError: a layer between the sites that is not affine, with its place.
    """

    def __init__(self, fitted: Fitted, what: str) -> None:
        self._model, watched = fitted.watched
        self._model.eval()
        self._what = what
        example = fitted.example
        if not isinstance(example, Tensor) or not example.is_floating_point() or example.ndim < 2:
            raise MeasureError(
                f"{what} must have a model of one tensor of numbers, but {fitted.name} takes"
                f" {type(example).__name__} {getattr(example, 'dtype', '')}. Choose another model."
            )
        self.shape = tuple(example.shape[1:])
        self._state = {
            name: tensor.detach().double() if tensor.is_floating_point() else tensor
            for name, tensor in (*self._model.named_parameters(), *self._model.named_buffers())
        }
        check_affine(self._model, list(watched), example, what)
        self._device, self._paths = example.device, list(watched)
        try:
            seen, _ = self._run(example[:1].double())
        except RuntimeError as error:
            reason = " ".join(f"{error}".split())[:200]
            raise MeasureError(
                f"{what} must have a model that runs in double precision, but got {reason}"
            ) from error
        self._paths = list(seen)
        self.sites = tuple(_site(watched[path], z, what) for path, z in seen.items())

    def site_inputs(self, points: Array) -> list[Array]:
        """Return what enters each site.

        Args:
            points: inputs of the model, flattened, ``(N, D)``.

        Returns:
            ``(N, units)`` for each site.
        """
        parts = [list(self._run(x)[0].values()) for x in self._rows(points).split(CHUNK)]
        return [torch.cat(column).flatten(1).numpy() for column in zip(*parts, strict=True)]

    def outputs(self, points: Array) -> Array:
        """Return what the model gives, ``(N, *)``, for inputs ``(N, D)``."""
        return torch.cat([self._run(x)[1] for x in self._rows(points).split(CHUNK)]).numpy()

    def affine_maps(self) -> list[tuple[Array, Array]]:
        """Return the matrix and the offset of what enters each site, and of the outputs.

        They act on the input and the outputs of the earlier sites, flattened and put one behind the
        other.
        """
        sizes = [int(np.prod(self.shape)), *(len(site.units) for site in self.sites)]
        units = torch.cat([torch.zeros(1, sum(sizes)), torch.eye(sum(sizes))]).double()
        first, *others = units.split(sizes, 1)
        shapes = [site.shape for site in self.sites]
        given = [part.reshape(-1, *s) for part, s in zip(others, shapes, strict=True)]
        seen, out = self._run(first.reshape(-1, *self.shape), given)
        found = []
        for number, z in enumerate((*seen.values(), out), start=1):
            rows = z.flatten(1).numpy()
            found.append(((rows[1 : 1 + sum(sizes[:number])] - rows[0]).T, rows[0]))
        return found

    def _rows(self, points: Array) -> Tensor:
        return torch.from_numpy(points).reshape(-1, *self.shape)

    @torch.no_grad()
    def _run(
        self, x: Tensor, outputs: list[Tensor] | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return what enters each site, and the result.

        Args:
            x: the input.
            outputs: what the sites give instead of what stands there.
        """
        seen: dict[str, list[Tensor]] = {}
        with ExitStack() as handles:
            handles.enter_context(noting(self._model, self._paths, seen))
            for path, y in zip(self._paths, outputs or (), strict=False):
                module = self._model.get_submodule(path)
                hook = module.register_forward_hook(lambda *_, y=y: y.to(self._device))
                handles.enter_context(hook)
            found = torch.func.functional_call(self._model, self._state, (x.to(self._device),))
        again = [path for path, runs in seen.items() if len(runs) > 1]
        if again:
            raise MeasureError(
                f"{self._what} must have sites that run once, but {again[0]} runs"
                f" {len(seen[again[0]])} times. Give each place a site of its own."
            )
        return {path: z.cpu() for path, (z,) in seen.items()}, found.cpu()


def first_rows(fitted: Fitted, count: int) -> Array:
    """Return the first inputs of the measured split, flattened, ``(count, D)``; fewer if it ends.

    Args:
        fitted: a module of one tensor; its example serves where it has no batches, and where these
            hold something else.
        count: of rows.
    """
    example: Tensor = fitted.example
    found: list[Tensor] = []
    for batch in fitted.batches():
        given, named = arguments(fitted.module, batch)
        rows = (*given, *named.values())[0]
        if not isinstance(rows, Tensor) or rows.shape[1:] != example.shape[1:]:
            break
        found.append(rows)
        if sum(map(len, found)) >= count:
            break
    rows = torch.cat(found) if found else example
    return rows[:count].detach().cpu().double().flatten(1).numpy()


def unit_pieces(
    name: str,
    activation: str,
    function: Callable[[Tensor], Tensor],
    shape: tuple[int, ...],
    what: str,
) -> tuple[Pieces, ...]:
    """Return the linear pieces of each unit of a site.

    Args:
        name: of the site.
        activation: what stands there, for the message.
        function: the same, as a function of one tensor.
        shape: of a sample that enters it.
        what: asks for it; begins the message.

    Raises:
        MeasureError: it is not continuous and piecewise linear.
    """
    φ: Any = function
    spread = [1] * len(shape)
    if getattr(φ, "channels", None):
        spread[φ.channel_dim - (φ.channel_dim > 0)] = φ.channels  # of a sample, not of a batch
    own = copy.deepcopy(φ).double().cpu() if isinstance(φ, nn.Module) else φ
    found = pieces(own.eval() if isinstance(own, nn.Module) else own, tuple(spread))
    if not found:
        raise MeasureError(
            f"{what} must have continuous piecewise linear activations, but got"
            f" {activation} at {name}. Search with --space"
            " piecewise_linear, or place relu, leaky_relu, abs, hardtanh or their like there."
        )
    channel = torch.arange(len(found)).view(spread).expand(shape).flatten()
    return tuple(found[i] for i in channel.tolist())


def _site(watched: WatchedSite, z: Tensor, what: str) -> PiecewiseLinearSite:
    """Return a site with its pieces, one that takes in ``z``."""
    name, shape = watched.site.name, tuple(z.shape[1:])
    units = unit_pieces(name, watched.site.activation, watched.function, shape, what)
    return PiecewiseLinearSite(name, shape, units)
