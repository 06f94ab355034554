"""Formula, code and gradient of every activation agree.

The text is evaluated with 40 digits, its derivative too.
"""

import ast
import operator
from itertools import pairwise

import mpmath
import pytest
import torch

from actsearch.activations import Parameter, catalogue
from actsearch.activations.families.surrogate import Surrogate
from actsearch.activations.flexible import Flexible
from actsearch.activations.properties.breaks import derivatives, find_breaks, grid

FUNCTIONS = {
    **{
        name: getattr(mpmath, name)
        for name in ("exp", "log", "log1p", "expm1", "tanh", "sinh", "cosh", "sin", "cos", "erf")
    },
    **{name: getattr(mpmath, name) for name in ("sqrt", "sign")},
    "arctan": mpmath.atan,
    "arcsinh": mpmath.asinh,
    "abs": abs,
    "min": min,
    "max": max,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
}
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: lambda a, b: mpmath.mpf(1) if b == 0 else a**b,
    ast.USub: operator.neg,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
# What a formula in x and numbers cannot say: coefficients in vectors, roots without a closed form.
NO_FORMULA = {"bspline", "mixture", "piecewise_linear", "rational", "rational_quadratic_spline"}
DIGITS = 40
# Torch multiplies the gradient by a float32 of 1/6, in float64 too.
COARSE_KERNEL = {"hardsigmoid": 1e-7}


@pytest.fixture(autouse=True)
def _digits():
    with mpmath.workdps(DIGITS):
        yield


def interpolate(x, *knots):
    for (a, b), (c, d) in pairwise(knots):
        if x < c:
            return b + (x - a) * (d - b) / (c - a)
    return knots[-1][1]


def evaluate(node, names):
    """The value of an expression of numbers, names, arithmetic, comparisons and FUNCTIONS."""
    match node:
        case ast.Constant(value=value):
            return mpmath.mpf(value)
        case ast.Name(id=name):
            return names[name]
        case ast.Tuple(elts=elements):
            return tuple(evaluate(e, names) for e in elements)
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](evaluate(left, names), evaluate(right, names))
        case ast.UnaryOp(op=op, operand=operand):
            return OPERATORS[type(op)](evaluate(operand, names))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return OPERATORS[type(op)](evaluate(left, names), evaluate(right, names))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return evaluate(body if evaluate(test, names) else orelse, names)
        case ast.Call(func=ast.Name(id="interpolate"), args=arguments):
            return interpolate(*(evaluate(a, names) for a in arguments))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return FUNCTIONS[name](*(evaluate(a, names) for a in arguments))
        case _:
            raise ValueError(ast.dump(node))


def twin(entry, text, values):
    """The formula's text as a function of one number."""
    tree = ast.parse(text, mode="eval").body
    names = {
        (a.symbol or key): v
        for (key, a), v in zip(entry.arguments.items(), values.values(), strict=True)
    }
    names = {name: mpmath.mpf(v) if isinstance(v, int | float) else v for name, v in names.items()}

    return lambda x: evaluate(tree, {**names, "x": mpmath.mpf(x), "pi": +mpmath.pi})


def other_values(entry):
    """Start values, and values away from them that the constraints allow."""
    start = entry().values
    moved = {}
    for key, argument in entry.arguments.items():
        value = start[key]
        if isinstance(argument, Parameter):
            low, _ = argument.bounds
            value = value + 0.75 if low == 1 else value * 1.375 + (0.0625 if low < 0 else 0.0)
        moved[key] = value
    return [start] if moved == start else [start, moved]


def points(φ):
    wide = grid()
    x = torch.cat(
        [torch.linspace(-9.137, 9.211, 21), torch.tensor([-0.03, 1e-3, -30.0, 30.0])]
    ).double()
    for found in find_breaks(φ, wide, derivatives(φ, wide, 1)):
        x = x[(x - found.above).abs() > 1e-3]
    return x


def test_what_has_no_formula_is_listed():
    flexible = {name for name, entry in catalogue().items() if issubclass(entry, Flexible)}
    assert flexible == NO_FORMULA


@pytest.mark.parametrize("learned", [False, True])
def test_formula_code_and_gradient_agree(entry_with_formula, learned):
    entry = entry_with_formula
    for values in other_values(entry):
        names = [
            key for key, a in entry.arguments.items() if isinstance(a, Parameter) and a.learnable
        ]
        φ = entry(learn=names if learned else (), **values).double().eval()
        current = {
            key: float(v.detach()) if isinstance(v, torch.Tensor) else v
            for key, v in φ.current().items()
        }
        x = points(φ)
        y, slope = derivatives(φ, x, 1)
        written = twin(entry, entry.formula, current)
        expected = torch.tensor([float(written(v)) for v in x.tolist()], dtype=torch.float64)
        torch.testing.assert_close(y, expected, rtol=1e-12, atol=4e-15)
        if issubclass(entry, Surrogate):
            gradient = twin(entry, entry.surrogate, current)
            expected = torch.tensor([float(gradient(v)) for v in x.tolist()], dtype=torch.float64)
        else:
            expected = torch.tensor(
                [float(mpmath.diff(written, v)) for v in x.tolist()], dtype=torch.float64
            )
        torch.testing.assert_close(
            slope, expected, rtol=COARSE_KERNEL.get(entry.name, 1e-11), atol=1e-14
        )


def test_a_wrong_formula_or_gradient_is_seen():
    silu = catalogue()["silu"]
    x = torch.tensor([0.7], dtype=torch.float64)
    right, wrong = twin(silu, silu.formula, {}), twin(silu, "x*sigmoid(1.001*x)", {})
    assert float(right(0.7)) == pytest.approx(float(silu()(x)), rel=1e-14)
    assert float(wrong(0.7)) != pytest.approx(float(silu()(x)), rel=1e-5)
