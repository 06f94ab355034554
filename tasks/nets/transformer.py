"""The small vision transformer; the activation of each block's perceptron is a site."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch import Site

from .layers import Layout, Residual


class TransformerBlock(nn.Module):
    """Self-attention and a two-layer perceptron, each beside a shortcut.

    The perceptron's activation is the site.

    ``pre_activation`` normalises what enters a branch, ``post_activation`` the sum that leaves it.
    The softmax of the attention is no site.

    Shapes:
        input and output ``(N, T, width)``.

    References:
        On Layer Normalization in the Transformer Architecture, R. Xiong and others, 2020,
        https://arxiv.org/abs/2002.04745
    """

    def __init__(self, width: int, heads: int, residual: Residual) -> None:
        super().__init__()
        self.heads = heads
        self.pre = residual == "pre_activation"
        self.norm_1 = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.activation = Site("gelu")
        self.contract = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix positions, then channels."""
        if self.pre:
            x = x + self.attend(self.norm_1(x))
            return x + self.perceive(self.norm_2(x))
        x = self.norm_1(x + self.attend(x))
        return cast(Tensor, self.norm_2(x + self.perceive(x)))

    def perceive(self, x: Tensor) -> Tensor:
        """Apply the two-layer perceptron to every token."""
        return cast(Tensor, self.contract(self.activation(self.expand(x))))

    def attend(self, x: Tensor) -> Tensor:
        """Multi-head self-attention."""
        split = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed: Tensor = F.scaled_dot_product_attention(split[0], split[1], split[2])
        return cast(Tensor, self.project(mixed.transpose(1, 2).flatten(2)))


class VisionTransformer(nn.Module):
    """A small vision transformer.

    Patches as tokens, learned positions, the mean of the tokens, a linear head.

    Shapes:
        input ``(N, C, H, W)`` with H and W multiples of ``patch``, output ``(N, classes)``.

    References:
        An Image is Worth 16x16 Words, A. Dosovitskiy and others, 2020,
        https://arxiv.org/abs/2010.11929
    """

    def __init__(self, shape: tuple[int, ...], classes: int, layout: Layout) -> None:
        super().__init__()
        channels, height, width = shape
        hidden, patch, residual = layout.hidden, layout.patch, layout.residual
        tokens = (height // patch) * (width // patch)
        self.embed = nn.Conv2d(channels, hidden, patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, hidden))
        for number in range(1, layout.depth + 1):
            self.add_module(f"block_{number}", TransformerBlock(hidden, layout.heads, residual))
        self.depth = layout.depth
        self.norm = nn.LayerNorm(hidden) if residual == "pre_activation" else nn.Identity()
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.position
        for number in range(1, self.depth + 1):
            tokens = self.get_submodule(f"block_{number}")(tokens)
        return cast(Tensor, self.head(self.norm(tokens).mean(1)))
