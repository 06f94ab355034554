"""Mixture of activations: training chooses among them. Input and output have shape ``(*)``."""

from __future__ import annotations

import reprlib
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from actsearch.activations.base import Activation, Option
from actsearch.activations.flexible import Flexible
from actsearch.activations.registry import activation, canonical_name, catalogue, register
from actsearch.errors import InvalidValueError

HEAD_START = 6.0
"""Logit of the member that the mixture starts like; the others have 0."""

MOST_MEMBERS = 64


@register
class Mixture(Flexible):
    r"""Weighted mean of named activations, the weights a learned softmax.

    .. math:: \varphi(x) = \sum_j w_j \varphi_j(x), \quad w = \operatorname{softmax}(c)

    With ``like`` it starts at one of its members, up to a weight of about :math:`e^{-6}` on each
    other one (``start_error`` says how far the start is from it on [-5, 5]); without, at equal
    weights. After training it can be kept, or reduced to the member with the largest weight by
    :meth:`reduce`.

    Args:
        members: names or expressions, 2 to 64, at their own default parameters, which are not
            learned.
        like: the member to start at, or ``None``.

    References:
        DARTS: Differentiable Architecture Search, H. Liu, K. Simonyan and Y. Yang, 2019,
            https://arxiv.org/abs/1806.09055

    """

    name = "mixture"
    formula = "sum(softmax(c)[j]*f[j](x))"
    arguments: ClassVar = {
        "members": Option(["identity", "relu", "tanh", "silu"]),
        "like": Option(None),
    }

    def __init__(self, /, **options: Any) -> None:
        members, like = (
            options.get("members", self.arguments["members"].default),
            options.get("like"),
        )
        named = isinstance(members, (list, tuple)) and all(
            isinstance(member, str) for member in members
        )
        if named:
            members = [canonical_name(member) or member for member in members]
            like = canonical_name(like) or like if isinstance(like, str) else like
        if not named or len(set(members)) != len(members) or not 2 <= len(members) <= MOST_MEMBERS:
            raise InvalidValueError(
                f"members must be at least two different names or expressions, {MOST_MEMBERS} at"
                f" most, but got {reprlib.repr(members)}."
            )
        if like is not None and like not in members:
            raise InvalidValueError(f"like must be one of {list(members)}, but got {like!r}.")
        super().__init__(**options | {"members": members, "like": like})
        self.members = nn.ModuleList([activation(member, learn=()) for member in members])

    def start(self) -> Tensor:
        """Return equal logits, or a head start for the member that the mixture is like."""
        options: dict[str, Any] = self.values
        logits = [HEAD_START * (member == options["like"]) for member in options["members"]]
        return torch.tensor(logits, dtype=torch.float64)

    def function(self, x: Tensor, coefficients: Tensor, **options: Any) -> Tensor:
        """Return the weighted mean."""
        weights = coefficients.softmax(0)
        first, *others = self.members
        total: Tensor = weights[0] * first(x)
        for weight, member in zip(weights[1:], others, strict=True):
            total = torch.addcmul(total, weight.to(x.dtype), member(x))
        return total

    @property
    def weights(self) -> Tensor:
        """The present weight of each member, the mean over channels where each has its own.

        Sums to 1.
        """
        return self.coefficients.detach().softmax(1).mean(0)

    def reduce(self) -> Activation:
        """Return the member with the largest weight as an activation of its own."""
        options: dict[str, Any] = self.values
        return activation(options["members"][int(self.weights.argmax())], learn=())

    @classmethod
    def declare(cls, members: list[str], like: str | None = None) -> dict[str, Any]:
        """Return what all members have and a mean keeps, for every value of the coefficients."""
        entries = catalogue()
        if any(member not in entries for member in members):
            return {}
        facts = [entries[member](learn=()) for member in members]
        stated = [entry.declare(**entry.values) for entry in facts]
        kept = ("monotone", "odd", "even", "zero_preserving", "convex", "positively_homogeneous")
        declared: dict[str, Any] = {
            fact: True for fact in kept if all(each.get(fact) for each in stated)
        }
        if all("smoothness" in each for each in stated):
            declared["smoothness"] = min(each["smoothness"] for each in stated)
        return declared
