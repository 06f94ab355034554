"""The parser refuses everything outside of the grammar, says where, and executes nothing."""

import builtins
import random
import string
from unittest import mock

import pytest
import torch

from actsearch.activations.expression.generate import mutate, random_expression
from actsearch.activations.expression.grammar import (
    ExpressionError,
    Node,
    canonical,
    checked,
    parse,
)
from actsearch.activations.expression.vocabulary import BINARY, LEARNABLE, UNARY

UNARY_WORDS = {
    "identity", "negative", "abs", "square", "exp", "erf", "erfc", "sinh", "cosh", "tanh",
    "expm1", "sigmoid", "logsigmoid", "arcsinh", "arctan", "relu", "elu", "selu", "silu",
    "softplus", "softsign", "hardsigmoid", "leaky_relu", "mish", "gelu", "sin", "cos",
    "gaussian", "hardtanh", "elish", "log1pabs", "reciprocal", "log", "sqrt", "sinc", "arctanh",
    "cube", "sqrtabs",
}  # fmt: skip


def test_the_vocabulary_is_the_specified_one():
    assert set(UNARY) == UNARY_WORDS
    assert set(BINARY) == {"add", "sub", "mul", "div", "max", "min", "pow"}
    for word in UNARY_WORDS:
        assert str(parse(f"{word}(x)")) == f"{word}(x)"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("x", "x"),
        (" min( abs (x) ,\tcos(x)) ", "min(abs(x),cos(x))"),
        ("swish(x)", "silu(x)"),
        ("add(x,-1.50)", "add(x,-1.5)"),
        ("mul(a,pow(x,2e0))", "mul(a,pow(x,2))"),
        ("add(x,-0)", "add(x,0)"),
        ("add(x,1e6)", "add(x,1000000)"),
    ],
)
def test_prints_what_it_reads(text, printed):
    assert str(parse(text)) == printed
    assert parse(printed) == parse(text)


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        (
            "",
            1,
            (
                "expression must have x, a number, a, b, c or a function here, but got 'the end' at"
                " column 1."
            ),
        ),
        ("foo(x)", 1, "expression must use known words, but got 'foo' at column 1."),
        ("add(x,rleu(x))", 7, "Nearest: relu"),
        (
            "tanh(x",
            7,
            (
                "expression must have ')' here, but got 'the end' at column 7. tanh at column 1"
                " takes 1 argument."
            ),
        ),
        ("tanh(x,x)", 7, "must have ')' here"),
        ("add(x)", 6, "must have ',' here"),
        ("tanh x", 6, "must have '(' here"),
        ("x x", 3, "must end after one expression"),
        ("x+1", 2, "must end after one expression"),
        ("pow(x,x)", 7, "must have a number as the exponent of pow"),
        ("pow(x,add(1,1))", 7, "exponent of pow"),
        ("pow(x,a)", 7, "exponent of pow"),
        ("add(1,a)", 1, "must contain x"),
        ("add(x,1000001)", 7, "must have numbers of at most 1e+06 in size"),
        ("add(x,-1e999)", 7, "numbers of at most"),
        ("x" * 513, 513, "must have at most 512 characters, but got 513"),
        ("tanh(" * 17 + "x" + ")" * 17, 81, "must be at most 16 functions deep"),
        ("__import__('os')", 1, "known words"),
        ("sin(x).real", 7, "must end after one expression"),
        ("sin(х)", 5, "must have x"),  # a Cyrillic letter
    ],
)
def test_each_refusal_says_where(text, column, says):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.column == column
    assert says in str(caught.value)
    assert f"column {column}" in str(caught.value)


def test_limits_are_inclusive():
    chain = "tanh(" * 16 + "x" + ")" * 16
    assert parse(chain).depth == 16
    balanced = "x"
    for _ in range(5):
        balanced = f"max({balanced},{balanced})"
    assert len(list(parse(f"abs({balanced})").walk())) == 64
    with pytest.raises(ExpressionError, match="at most 64 nodes"):
        parse(f"abs(abs({balanced}))")


def test_not_text_is_refused():
    with pytest.raises(ExpressionError, match="must be text, but got 3"):
        parse(3)


def test_a_tree_is_checked_as_its_text_is():
    with pytest.raises(ExpressionError, match="known words"):
        checked(Node("system", (Node("x"),)))


def test_what_is_read_can_be_read_again_once_printed():
    chain = "max(hardsigmoid(1e6)," * 10 + "x" + ")" * 10
    text = f"max({chain},{chain})"  # 1e6 is printed as 1000000
    assert len(text) < 512
    with pytest.raises(ExpressionError, match="at most 512 characters as printed"):
        parse(text)


def texts(count, seed):
    """Expressions, expressions with characters changed, token soup, and noise."""
    rng = random.Random(seed)
    words = [
        *UNARY,
        *BINARY,
        *LEARNABLE,
        "x",
        "(",
        ")",
        ",",
        "2",
        "-1e5",
        "1e9",
        "foo",
        "swish",
        "__import__",
        ".",
        "'os'",
        " ",
    ]
    good = [random_expression(rng, rng.randint(1, 5), learnable=True) for _ in range(500)]
    for i in range(count):
        kind = i % 4
        if kind == 0:
            yield rng.choice(good)
        elif kind == 1:
            text = list(rng.choice(good))
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(len(text))
                text[at : at + rng.randint(0, 2)] = rng.choice(
                    ["", "(", ")", ",", "x", "9", "é", "\x00", rng.choice(words)]
                )
                text = text or ["x"]
            yield "".join(text)
        elif kind == 2:
            yield "".join(rng.choice(words) for _ in range(rng.randint(0, 40)))
        else:
            yield "".join(
                rng.choice(string.printable + "λ\ud800\U0001f600")
                for _ in range(rng.randint(0, 60))
            )


@pytest.mark.parametrize("number", [20_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_strings_raise_nothing_but_the_parse_error(number):
    strings = list(texts(number, seed=0))

    def executed(*args, **kwargs):
        raise AssertionError("the parser executes nothing")

    read = refused = 0
    with mock.patch.multiple(
        builtins, eval=executed, exec=executed, compile=executed, __import__=executed, open=executed
    ):
        for text in strings:
            try:
                tree = parse(text)
            except ExpressionError as error:
                refused += 1
                if not 1 <= error.column <= len(text) + 1 or "column" not in str(error):
                    raise AssertionError(text) from error
            else:
                read += 1
                if parse(str(tree)) != tree:
                    raise AssertionError(text)
    assert read > number / 4
    assert refused > number / 2


def test_canonical_forms_are_stable_and_equal_in_value():
    from actsearch.activations.expression.evaluate import evaluate

    rng = random.Random(1)
    trees = [parse(random_expression(rng, 4, learnable=True)) for _ in range(400)]
    trees += [parse(mutate(str(tree), rng)) for tree in trees]
    forms = [canonical(tree) for tree in trees]
    assert [canonical(form) for form in forms] == forms
    grid = torch.linspace(-3.1, 3.3, 50)
    before, _ = evaluate(trees, grid)
    after, _ = evaluate(forms, grid)
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9, equal_nan=True)
    assert any(form != tree for form, tree in zip(forms, trees, strict=True))


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("add(x,tanh(x))", "add(tanh(x),x)"),
        ("add(x,add(1,-1))", "x"),
        ("mul(x,1)", "x"),
        ("negative(negative(x))", "x"),
        ("identity(sin(identity(x)))", "sin(x)"),
        ("mul(x,x)", "square(x)"),
        ("pow(x,1)", "x"),
        ("sub(0,x)", "negative(x)"),
        ("abs(square(x))", "square(x)"),
        ("mul(x,1e6)", "mul(1000000,x)"),
        ("div(x,log(-1))", "div(x,log(-1))"),
    ],
)
def test_canonical_forms(text, form):
    assert str(canonical(parse(text))) == form
