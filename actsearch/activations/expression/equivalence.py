"""Whether two activations are the same function: by their values on a grid, not by their text."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from actsearch.activations.base import Activation
from actsearch.activations.expression.evaluate import evaluate
from actsearch.activations.expression.expression import Expression
from actsearch.activations.expression.grammar import Node, parse
from actsearch.activations.expression.vocabulary import LEARNABLE
from actsearch.activations.registry import canonical_name, catalogue

SAME_WITHIN = 1e-6

SETTINGS: tuple[tuple[float, float, float], ...] = (
    (1.0, 1.0, 1.0),
    (0.7310585, 1.3790321, -0.5176381),
)
"""Values of a, b, c that functions with learnable constants are compared at.

The start, and a point of no symmetry.
"""


def _golden_points() -> Tensor:
    # Multiples of the golden ratio fill the interval evenly with no symmetry and without 0, where
    # x/x has no value.
    golden = (1 + 5**0.5) / 2
    near = 10 * ((torch.arange(1, 65, dtype=torch.float64) * golden) % 1) - 5
    far = 40 * ((torch.arange(1, 17, dtype=torch.float64) * golden) % 1) - 20
    return torch.cat([near, far])


COMPARED_AT = _golden_points()
"""80 points: 64 in (-5, 5), 16 in (-20, 20)."""


def fingerprints(candidates: Sequence[str | Node | Activation]) -> list[str]:
    r"""Return a key for each candidate that equal functions share, in one pass over all of them.

    .. math:: k(\varphi) = \text{hash}
        \lfloor \operatorname{arsinh}(\varphi(x_j)) / \tau \rceil_{j = 1, \dots, 80}

    Numerics: :math:`\tau` is 10⁻⁶, absolute near zero and relative far from it. Functions equal up
    to rounding get one key, functions that differ by more than :math:`\tau` at a point get two; in
    between, either. Learned constants are free: ``mul(a,x)`` is not ``x``, but it is ``mul(b,x)``;
    a catalogue entry that learns is told apart from one that does not. Steps are told apart by the
    gradients that stand in for theirs.

    Args:
        candidates: names, expressions (as text or parsed; their constants count as learned), or
            activations.

    >>> texts = ["add(x,tanh(x))", "add(tanh(x),x)", "swish(x)", "mul(x,sigmoid(x))"]
    >>> len(set(fingerprints(texts)))
    2

    """
    entries = [_entry(candidate) for candidate in candidates]
    plain, slopes = evaluate([node for node, _ in entries], COMPARED_AT)
    keys = [digest + label for digest, (_, label) in zip(_digests(plain), entries, strict=True)]
    for i, (entry, _) in enumerate(entries):
        if _jumps(entry):
            keys[i] += _digests(slopes[i : i + 1])[0]
    free = {
        i: node
        for i, (node, _) in enumerate(entries)
        if isinstance(node, Node) and _constants(node)
    }
    for i, key in zip(free, _free_keys(list(free.values())), strict=True):
        keys[i] = key
    return keys


def fingerprint(candidate: str | Node | Activation) -> str:
    """Return the key of one candidate; see :func:`fingerprints`."""
    return fingerprints([candidate])[0]


def mirrored_fingerprint(candidate: Activation) -> str:
    """Return a key that an activation shares with its mirror images -φ(x), φ(-x) and -φ(-x).

    Between layers whose weights have either sign as often, these are one function. Steps, which are
    told apart by the gradients that stand in for theirs, have no mirror images here.

    >>> from actsearch.activations import activation
    >>> mirrored = activation("negative(softplus(negative(x)))")
    >>> mirrored_fingerprint(activation("softplus")) == mirrored_fingerprint(mirrored)
    True

    """
    if _jumps(candidate):
        return fingerprint(candidate)
    values, _ = evaluate([candidate], torch.cat([COMPARED_AT, -COMPARED_AT]))
    halves = values.view(2, len(COMPARED_AT))
    return min(
        _digests((sign * image).view(1, -1))[0]
        for image in (halves, halves.flip(0))
        for sign in (1, -1)
    )


def equivalent(
    first: str | Node | Activation, second: str | Node | Activation, tolerance: float = SAME_WITHIN
) -> bool:
    r"""Whether two candidates are the same function at their start values.

    They are compared on the grid, up to a tolerance.

    .. math:: |\varphi(x_j) - \psi(x_j)| \le \tau \max(1, |\varphi(x_j)|, |\psi(x_j)|)
        \text{ for all } j

    Two steps are the same where the gradients that stand in for theirs are.

    Args:
        first: a name, an expression or an activation.
        second: the same.
        tolerance: :math:`\tau > 0`.

    >>> equivalent("add(x,tanh(x))", "add(tanh(x),x)")
    True

    """
    values, slopes = evaluate([first, second], COMPARED_AT)
    if all(_jumps(_entry(candidate)[0]) for candidate in (first, second)):
        values = torch.cat([values, slopes], 1)
    u, v = values
    size = torch.maximum(u.abs(), v.abs()).clamp(min=1.0)
    same = ((u - v).abs() <= tolerance * size) | (u == v) | (u.isnan() & v.isnan())
    return bool(same.all())


def distinct(candidates: Sequence[str]) -> list[str]:
    """Return the candidates without those equal to an earlier one.

    >>> distinct(["add(x,tanh(x))", "sin(x)", "add(tanh(x),x)"])
    ['add(x,tanh(x))', 'sin(x)']
    """
    first: dict[str, str] = {}
    for key, candidate in zip(fingerprints(candidates), candidates, strict=True):
        first.setdefault(key, candidate)
    return list(first.values())


def _entry(candidate: str | Node | Activation) -> tuple[Node | Activation, str]:
    """Return what to evaluate, and a label for what is learned in it."""
    if isinstance(candidate, str):
        name = canonical_name(candidate)
        candidate = parse(candidate) if name is None else catalogue()[name]()
    if isinstance(candidate, Expression) and set(candidate.learn) == set(candidate.arguments):
        candidate = candidate.tree
    if isinstance(candidate, Activation) and candidate.has_learned():
        return candidate, f"+{candidate.name}:{','.join(candidate.learn)}"
    return candidate, ""


def _jumps(entry: Node | Activation) -> bool:
    """Whether a catalogue entry is discontinuous, so that training sees the gradient it states."""
    return isinstance(entry, Activation) and entry.facts.get("smoothness") == -1


def _constants(node: Node) -> list[str]:
    return sorted({n.name for n in node.walk() if n.name in LEARNABLE})


def _free_keys(nodes: Sequence[Node]) -> list[str]:
    """Return the keys of functions with free constants.

    A constant may go by any name: ``mul(a,x)`` is ``mul(b,x)``. Each of the six ways to give the
    names a, b, c to the numbers of a setting makes a key; the least of them stands for all.
    """
    if not nodes:
        return []
    keys = [_keys_with(nodes, names) for names in itertools.permutations(LEARNABLE)]
    return [min(of_one) for of_one in zip(*keys, strict=True)]


def _keys_with(nodes: Sequence[Node], names: Sequence[str]) -> list[str]:
    """Return for each function what it comes to at all settings, whose numbers have these names."""
    digests = []
    for setting in SETTINGS:
        values, _ = evaluate(nodes, COMPARED_AT, dict(zip(names, setting, strict=True)))
        digests.append(_digests(values))
    return ["".join(of_one) for of_one in zip(*digests, strict=True)]


def _digests(values: Tensor) -> list[str]:
    # A sum with 0.0 turns -0.0 into 0.0, which has other bytes; every NaN is made the same one.
    rounded = torch.round(torch.asinh(values) / SAME_WITHIN) + 0.0
    rounded[values.isnan()] = torch.nan
    return [hashlib.blake2b(row.tobytes(), digest_size=12).hexdigest() for row in rounded.numpy()]
