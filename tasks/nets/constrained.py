"""Dense layers that lengthen no difference of their inputs."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from actsearch.errors import InvalidValueError

Weights = Literal["plain", "spectral", "orthogonal"]

HEAD_NORM = 4.0
"""Of the last layer. Cross-entropy asks of logits that can differ less for margins alone, and the
network fits less; of larger ones for no margin any more. It falls out of a certified radius."""


class _Scaled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return HEAD_NORM * weight


def constrain_weights(network: nn.Module, weights: Weights) -> None:
    """Hold every dense layer's spectral norm at 1, the ``head``'s at 4.

    Args:
        network: of dense layers.
        weights: ``spectral``: divided by the norm, which power iteration follows, some percent off;
            ``orthogonal``: all singular values are 1, by the Cayley map.

    Raises:
        InvalidValueError: a layer with weights that is not dense, with its place.

    References:
        Spectral Normalization for Generative Adversarial Networks, T. Miyato, T. Kataoka, M. Koyama
        and Y. Yoshida, 2018, https://arxiv.org/abs/1802.05957
        Cheap Orthogonal Constraints in Neural Networks, M. Lezcano-Casado and D.
        Martínez-Rubio, 2019, https://arxiv.org/abs/1901.08428
    """
    layers = {n: m for n, m in network.named_modules() if list(m.parameters(recurse=False))}
    for name, layer in layers.items():
        if not isinstance(layer, nn.Linear):
            raise InvalidValueError(
                f"weights must be plain but for dense layers alone, but got {weights!r} and"
                f" {type(layer).__name__} at {name!r}. Use mlp without normalisation."
            )
        if weights == "spectral":
            parametrizations.spectral_norm(layer)
        else:
            parametrizations.orthogonal(layer, orthogonal_map="cayley")
        if name == "head":
            parametrize.register_parametrization(layer, "weight", _Scaled())
