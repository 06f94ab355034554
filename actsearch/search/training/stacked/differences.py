"""What members of a stack may have of their own beside their numbers: rates and activations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from actsearch.placement.replacement.replace import applied
from actsearch.search.training.stacked.checks import NotStackableError
from actsearch.search.training.stacked.members import Member

UNSCALED = (torch.optim.ASGD, torch.optim.Rprop)
"""Optimisers whose step is not their learning rate times what does not depend on it."""


class Rates:
    r"""Learning rates of the members, as multiples of the first one's.

    An optimiser steps all by the rate :math:`\eta_1` of the first. Where a step is the rate times
    what does not depend on it, that of member i is :math:`\eta_i / \eta_1` times as long:

    .. math:: \theta_i \leftarrow \theta_i + \frac{\eta_i}{\eta_1} (\theta_i' - \theta_i)

    Args:
        optimizers: one for each member, as each builds it alone.

    Raises:
        NotStackableError: a step is not of that kind.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        each = [[_rate(group) for group in optimizer.param_groups] for optimizer in optimizers]
        self._ratios = [
            torch.tensor([rate / rates[0] if rates[0] else 1.0 for rate in rates])
            for rates in zip(*each, strict=True)
        ]
        self.differ = any(bool((ratios != 1).any()) for ratios in self._ratios)
        if self.differ and type(optimizers[0]) in UNSCALED:
            name = type(optimizers[0]).__name__
            raise NotStackableError(f"a step of {name} does not scale with its learning rate")

    @contextmanager
    def stepping(self, optimizer: Optimizer) -> Iterator[None]:
        """Scale the step that the optimiser takes meanwhile."""
        if not self.differ:
            yield
            return
        before = [[p.detach().clone() for p in g["params"]] for g in optimizer.param_groups]
        yield
        with torch.no_grad():
            for group, olds, ratios in zip(
                optimizer.param_groups, before, self._ratios, strict=True
            ):
                for now, old in zip(group["params"], olds, strict=True):
                    ratio = ratios.to(now).reshape(-1, *[1] * (now.ndim - 1))
                    now.copy_(old + ratio * (now - old))


def _rate(group: dict[str, Any]) -> float:
    """Return the rate that a schedule begins from."""
    return float(group.get("initial_lr", group["lr"]))


class Activations:
    """Activations of the members, at the sites where these are not the same.

    Args:
        members: of which each has a placement at the same sites, or all have the same.

    Raises:
        NotStackableError: they have not, or what is not the same learns or draws.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members, self._module = members, members[0].module
        self._at: dict[str, nn.Module] = {}
        if all(member.job.placement == members[0].job.placement for member in members):
            return
        paths = [{one.site: one.path for one in applied(member.module)} for member in members]
        if any(one != paths[0] for one in paths):
            raise NotStackableError("its candidates stand at different sites")
        for site, path in paths[0].items():
            entries = [m.job.placement.sites[site] if m.job.placement else None for m in members]
            if any(entry != entries[0] for entry in entries):
                runs = [list(run) for _, run in groupby(range(len(members)), entries.__getitem__)]
                activations = [members[run[0]].module.get_submodule(path) for run in runs]
                self._at[path] = _SideBySide(activations, [len(run) for run in runs])

    @property
    def paths(self) -> tuple[str, ...]:
        """Where the members' activations are not the same."""
        return tuple(self._at)

    @property
    def examples(self) -> list[int]:
        """A member of each sort, where there are several."""
        sorts = [member.job.placement for member in self._members]
        return [n for n, one in enumerate(sorts) if one not in sorts[:n]] if self._at else []

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Put the activations of all in place of the first member's."""
        own = {path: self._module.get_submodule(path) for path in self._at}
        try:
            self._put(self._at)
            yield
        finally:
            self._put(own)

    def _put(self, activations: dict[str, nn.Module]) -> None:
        for path, activation in activations.items():
            parent, _, name = path.rpartition(".")
            self._module.get_submodule(parent)._modules[name] = activation


class _SideBySide(nn.Module):
    """Activations, each for a number of members in their order."""

    def __init__(self, activations: Sequence[nn.Module], counts: Sequence[int]) -> None:
        super().__init__()
        for activation in activations:
            if any(True for _ in activation.parameters()):
                raise NotStackableError("activations that differ learn")
            state = torch.get_rng_state()
            activation(torch.zeros(1))
            if not torch.equal(torch.get_rng_state(), state):
                raise NotStackableError("activations that differ draw random numbers")
        self._act = activations, tuple(counts)

    @override
    def forward(self, x: Tensor) -> Any:
        return _Each.apply(x, *self._act)  # type: ignore[no-untyped-call]  # torch's


class _Each(torch.autograd.Function):
    """Activations of the members under vmap, where each is called with its members' part alone."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, activations: Any, counts: Any) -> Any:
        """Refuse what does not depend on the member."""
        raise NotStackableError("a site's input is the same for all members")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: what vmap calls is differentiated as it is."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, activations: Any, counts: Any) -> Any:
        """Return each activation of its members' part."""
        parts = x.movedim(in_dims[0], 0).split(counts)
        return torch.cat([f(part) for f, part in zip(activations, parts, strict=True)]), 0
