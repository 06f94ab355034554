"""What a network sees of one molecule: distances, which do not change as it turns, or places."""

from __future__ import annotations

from itertools import permutations, product

import torch
from torch import Tensor, nn

from actsearch.errors import InvalidValueError

MOST_EXCHANGES = 24
"""Ways to exchange equal atoms, which the network is evaluated for each."""


class InverseDistances(nn.Module):
    """The inverse distances of all pairs of atoms, in every order of equal atoms.

    Args:
        numbers: atomic numbers of the molecule, ``(A,)``.

    Raises:
        InvalidValueError: more than 24 orders.

    Shapes:
        atoms ``(N, A, 4)`` to ``(N, orders, pairs)``, in 1 / angstrom.
    """

    pairs: Tensor
    orders: Tensor

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        count = len(numbers)
        groups = [torch.where(numbers == number)[0].tolist() for number in numbers.unique()]
        ways = list(product(*(permutations(group) for group in groups)))
        if len(ways) > MOST_EXCHANGES:
            raise InvalidValueError(
                f"descriptor must be coordinates, or the task orbital, for a molecule whose equal"
                f" atoms have {len(ways)} orders, more than {MOST_EXCHANGES}, but got 'distances'."
            )
        first, second = pairs = torch.triu_indices(count, count, 1)
        place = torch.zeros(count, count, dtype=torch.long)
        place[first, second] = place[second, first] = torch.arange(pairs.shape[1])
        orders = []
        for way in ways:
            order = torch.empty(count, dtype=torch.long)
            for group, exchanged in zip(groups, way, strict=True):
                order[group] = torch.tensor(exchanged)
            orders.append(place[order[first], order[second]])
        self.register_buffer("pairs", pairs)
        self.register_buffer("orders", torch.stack(orders))

    def forward(self, atoms: Tensor) -> Tensor:
        """Return the features."""
        first, second = self.pairs
        apart = atoms[:, first, 1:] - atoms[:, second, 1:]
        inverse: Tensor = apart.square().sum(-1).rsqrt()
        return inverse[:, self.orders]


class Coordinates(nn.Module):
    """Coordinates of the atoms about their middle, which change as the molecule turns.

    Shapes:
        atoms ``(N, A, 4)`` to ``(N, 1, 3A)``, in angstrom.
    """

    def forward(self, atoms: Tensor) -> Tensor:
        """Return the features."""
        positions = atoms[..., 1:]
        return (positions - positions.mean(1, keepdim=True)).flatten(1)[:, None]
