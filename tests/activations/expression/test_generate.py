"""Random expressions obey the grammar, the seed and the depth.

A pool holds usable functions, each once.
"""

import random

import pytest
import torch

from actsearch.activations.expression.equivalence import equivalent
from actsearch.activations.expression.evaluate import evaluate
from actsearch.activations.expression.generate import cross, mutate, pool, random_expression
from actsearch.activations.expression.grammar import parse
from actsearch.activations.expression.vocabulary import BINARY, UNARY
from actsearch.activations.trainability import usable
from actsearch.errors import InvalidValueError


@pytest.mark.parametrize("depth", [1, 2, 5, 16])
def test_depth_is_kept_and_reached(depth):
    rng = random.Random(0)
    depths = {parse(random_expression(rng, depth)).depth for _ in range(300)}
    assert max(depths) <= depth
    assert max(depths) >= min(depth, 6)
    assert min(depths) == 1


def test_a_seed_is_a_sequence():
    draws = [
        [random_expression(rng, 4) for _ in range(20)]
        for rng in (random.Random(7), random.Random(7), random.Random(8))
    ]
    assert draws[0] == draws[1] != draws[2]
    assert pool(50, 3, seed=1) == pool(50, 3, seed=1) != pool(50, 3, seed=2)


def test_every_word_is_drawn():
    rng = random.Random(0)
    words = {
        node.name
        for _ in range(3000)
        for node in parse(random_expression(rng, 4, learnable=True)).walk()
    }
    assert words >= (set(UNARY) - {"identity"}) | set(BINARY) | {"x", "a", "b", "c", "constant"}


def test_mutants_are_near_and_children_mix_their_parents():
    rng = random.Random(0)
    for _ in range(300):
        first, second = (random_expression(rng, 4) for _ in range(2))
        mutant = mutate(first, rng)
        assert mutant != first
        assert str(parse(mutant)) == mutant
        child = parse(cross(first, second, rng))
        parents = {node.name for text in (first, second) for node in parse(text).walk()}
        assert {node.name for node in child.walk()} <= parents


def test_mutation_of_the_largest_expressions_ends():
    rng = random.Random(0)
    deep = "tanh(" * 16 + "x" + ")" * 16
    wide = "x"
    for _ in range(5):
        wide = f"add({wide},{wide})"
    for text in (deep, f"sin({wide})"):
        assert all(parse(mutate(text, rng)) for _ in range(20))
        assert parse(cross(text, text, rng))


def test_a_pool_is_usable_and_distinct():
    texts = pool(300, 3, seed=4)
    assert len(set(texts)) == 300
    x = torch.linspace(-5, 5, 333)
    values, slopes = evaluate(texts, x)
    assert values.isfinite().all()
    assert slopes.isfinite().all()
    assert (values.amax(1) > values.amin(1)).all()
    for i, first in enumerate(texts[:60]):
        assert not any(equivalent(first, second, tolerance=1e-8) for second in texts[i + 1 : 60])


@pytest.mark.parametrize(
    "text",
    [
        "log(x)",
        "reciprocal(x)",
        "sqrtabs(x)",
        "div(x,x)",
        "sub(x,x)",
        "div(x,cos(x))",
        "exp(exp(x))",
    ],
)
def test_what_is_not_usable(text):
    assert usable([text]) == []


def test_what_is_usable():
    texts = ["tanh(x)", "relu(x)", "exp(x)", "cube(x)", "min(2,exp(square(x)))"]
    assert usable(texts) == texts


def test_bounds():
    with pytest.raises(InvalidValueError, match="depth must be from 1 to 16, but got 0"):
        random_expression(random.Random(0), 0)
    with pytest.raises(InvalidValueError, match="count must be at least 1, but got 0"):
        pool(0, 2, seed=0)
    with pytest.raises(InvalidValueError, match="at depth 1, but got 5000"):
        pool(5000, 1, seed=0)
