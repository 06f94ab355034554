"""An expression is an activation like any other, from its value to its compilation."""

import copy
import pickle
import random

import onnxruntime
import pytest
import torch
from torch import nn

from actsearch.activations import activation, catalogue, from_spec, properties
from actsearch.activations.expression.evaluate import evaluate
from actsearch.activations.expression.expression import Expression, ExpressionError, is_expression
from actsearch.activations.expression.generate import random_expression
from actsearch.activations.expression.vocabulary import UNARY
from actsearch.errors import InvalidValueError, UnknownNameError

ORACLE = {
    "identity": lambda x: x,
    "negative": lambda x: -x,
    "abs": lambda x: (x * x) ** 0.5,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "sqrt": lambda x: x**0.5,
    "sqrtabs": lambda x: (x * x) ** 0.25,
    "reciprocal": lambda x: 1 / x,
    "exp": lambda x: torch.e**x,
    "expm1": lambda x: torch.e**x - 1,
    "log": lambda x: x.log2() / torch.tensor(torch.e).double().log2(),
    "log1pabs": lambda x: (1 + x.abs()).log(),
    "sin": lambda x: torch.exp(1j * x).imag,
    "cos": lambda x: torch.exp(1j * x).real,
    "sinc": lambda x: torch.exp(1j * x).imag / x,
    "sinh": lambda x: (x.exp() - (-x).exp()) / 2,
    "cosh": lambda x: (x.exp() + (-x).exp()) / 2,
    "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    "arcsinh": lambda x: (x + (1 + x**2) ** 0.5).log(),
    "arctan": lambda x: (1 + 1j * x).log().imag,
    "arctanh": lambda x: ((1 + x) / (1 - x)).log() / 2,
    "erf": lambda x: torch.special.ndtr(x * 2**0.5) * 2 - 1,
    "erfc": lambda x: 2 - torch.special.ndtr(x * 2**0.5) * 2,
    "gaussian": lambda x: (-(x**2)).exp(),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "logsigmoid": lambda x: -(1 + (-x).exp()).log(),
    "hardsigmoid": lambda x: (x / 6 + 0.5).clamp(0, 1),
    "hardtanh": lambda x: x.clamp(-1, 1),
    "relu": lambda x: (x + x.abs()) / 2,
    "leaky_relu": lambda x: torch.where(x < 0, 0.01 * x, x),
    "elu": lambda x: torch.where(x < 0, x.exp() - 1, x),
    "selu": lambda x: (
        1.0507009873554805 * torch.where(x < 0, 1.6732632423543772 * (x.exp() - 1), x)
    ),
    "silu": lambda x: x / (1 + (-x).exp()),
    "elish": lambda x: torch.where(x < 0, x.exp() - 1, x) / (1 + (-x).exp()),
    "gelu": lambda x: x * torch.special.ndtr(x),
    "mish": lambda x: x * (1 + x.exp()).log().tanh(),
    "softplus": lambda x: (1 + x.exp()).log(),
    "softsign": lambda x: x / (1 + x.abs()),
}


def test_every_unary_word_has_an_oracle():
    assert set(ORACLE) == set(UNARY)


@pytest.mark.parametrize("word", sorted(ORACLE))
def test_words_mean_their_formula_in_value_and_gradient(word):
    low, high = {"sqrt": (0.1, 4), "log": (0.1, 4), "arctanh": (-0.9, 0.9)}.get(word, (-4, 4))
    x = torch.linspace(low, high, 98, dtype=torch.float64)  # neither 0 nor a kink
    torch.testing.assert_close(Expression(f"{word}(x)")(x), ORACLE[word](x), rtol=1e-7, atol=1e-7)
    _, slope = evaluate([f"{word}(x)"], x)
    step = 1e-6
    torch.testing.assert_close(
        slope[0],
        (ORACLE[word](x + step) - ORACLE[word](x - step)) / (2 * step),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("word", sorted(set(ORACLE) & set(catalogue())))
def test_a_word_that_is_a_name_is_that_activation(word):
    x = torch.linspace(-4, 4, 98, dtype=torch.float64)
    assert torch.equal(UNARY[word](x), activation(word, learn=()).double()(x))


def test_mish_has_a_second_derivative_far_out():
    x = torch.tensor([0.5, 50.0, 89.0, 1e3, -89.0, -1e3], requires_grad=True)
    (slope,) = torch.autograd.grad(activation("mish(x)")(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), x)
    torch.testing.assert_close(slope[1:], torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(second[1:], torch.zeros(5))


@pytest.mark.parametrize(
    ("text", "oracle"),
    [
        ("add(x,2)", lambda x: x + 2),
        ("sub(1,x)", lambda x: 1 - x),
        ("mul(x,cos(x))", lambda x: x * x.cos()),
        ("div(x,cosh(x))", lambda x: x / x.cosh()),
        ("max(x,0.5)", lambda x: x.clamp(min=0.5)),
        ("min(-1,x)", lambda x: x.clamp(max=-1)),
        ("max(x,sin(x))", lambda x: torch.maximum(x, x.sin())),
        ("min(abs(x),cos(x))", lambda x: torch.minimum(x.abs(), x.cos())),
        ("pow(x,3)", lambda x: x**3),
        ("pow(abs(x),0.5)", lambda x: x.abs() ** 0.5),
        ("add(x,mul(2,log(exp(3))))", lambda x: x + 6),
        ("identity(x)", lambda x: x),
        ("add(identity(x),identity(identity(x)))", lambda x: 2 * x),
    ],
)
def test_binary_words(text, oracle):
    x = torch.linspace(-3, 3, 40)
    torch.testing.assert_close(activation(text)(x), oracle(x))


def test_learnable_constants_start_as_given_and_receive_gradients():
    φ = activation("add(mul(a,x),mul(sigmoid(b),max(x,c)))", a=0.25)
    assert φ.values == {"a": 0.25, "b": 1.0, "c": 1.0}
    x = torch.randn(64, generator=torch.Generator().manual_seed(0))
    expected = 0.25 * x + torch.tensor(1.0).sigmoid() * x.clamp(min=1.0)
    torch.testing.assert_close(φ(x), expected)
    φ(x).sum().backward()
    assert [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in φ.parameters()] == [
        True
    ] * 3
    assert list(activation("mul(a,x)", learn=[]).parameters()) == []
    assert torch.equal(activation("mul(a,x)", learn=[], a=2)(x), 2 * x)


def test_constants_per_channel():
    φ = activation("mul(a,sin(x))", share="channel", channels=3)
    with torch.no_grad():
        φ.raw_a.copy_(torch.tensor([1.0, 2.0, 3.0]))
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(φ(x), torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1) * x.sin())


def test_only_constants_that_occur_are_parameters():
    with pytest.raises(UnknownNameError, match="unknown parameter of mul\\(a,x\\) 'b'"):
        activation("mul(a,x)", b=1.0)
    with pytest.raises(InvalidValueError, match="a must be a finite number"):
        activation("mul(a,x)", a=float("nan"))
    with pytest.raises(ExpressionError, match="column 6"):
        activation("tanh(y)")


@pytest.mark.parametrize(
    "text", ["x", "swish(x)", "add(mul(a,x),b)", "min(abs(x),cos(x))", "mul(x,0.1)"]
)
def test_spec_state_and_copies(text):
    φ = activation(text, learn=["a"], a=0.3) if "a," in text else activation(text)
    rebuilt = from_spec(φ.spec())
    assert rebuilt.spec() == φ.spec()
    assert rebuilt.spec()["activation"] == φ.text
    rebuilt.load_state_dict(φ.state_dict())
    x = torch.randn(5, 7)
    assert torch.equal(rebuilt(x), φ(x))
    assert torch.equal(copy.deepcopy(φ)(x), φ(x))
    torch.testing.assert_close(φ.plain()(x.double()), φ(x).double(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (0,)])
def test_dtype_and_shape_are_kept(dtype, shape):
    x = torch.ones(shape, dtype=dtype)
    for text in ("mul(a,tanh(x))", "max(x,b)", "add(x,sigmoid(a))", "min(x,0.5)"):
        for learn in (None, []):
            y = activation(text, learn=learn)(x)
            assert (y.shape, y.dtype) == (x.shape, dtype)


def test_a_repeated_part_is_computed_once():
    assert len(Expression("add(sin(x),square(sin(x)))").steps) == 3
    assert len(Expression("add(x,mul(2,3))").steps) == 1
    assert Expression("identity(x)").steps == ()


def test_random_expressions_evaluate_and_match_the_fast_evaluator():
    rng = random.Random(5)
    texts = [random_expression(rng, rng.randint(1, 5), learnable=True) for _ in range(1500)]
    x = torch.linspace(-4, 4, 40, dtype=torch.float64)  # without 0, where quotients cancel
    values, slopes = evaluate(texts, x)
    finite = 0
    for text, value, slope in zip(texts, values, slopes, strict=True):
        z = x.clone().requires_grad_()
        y = Expression(text).double()(z)
        torch.testing.assert_close(y.detach(), value, rtol=1e-12, atol=1e-12, equal_nan=True)
        if value.isfinite().all() and slope.abs().max() < 1e4:
            finite += 1
            (gradient,) = torch.autograd.grad(y.sum(), z, allow_unused=True)
            gradient = torch.zeros_like(x) if gradient is None else gradient
            torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-8)
    assert finite > 400


@pytest.mark.parametrize(
    "text", ["mul(sigmoid(x),x)", "add(mul(a,x),sin(mul(b,x)))", "div(cube(x),add(1,square(x)))"]
)
def test_gradcheck(text):
    x = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Expression(text).double(), (x,))
    assert torch.autograd.gradgradcheck(Expression(text).double(), (x,))


def test_compiles_to_the_same_function():
    model = nn.Sequential(nn.Linear(4, 4), Expression("add(mul(a,sin(x)),max(x,0.1))"))
    x = torch.randn(8, 4)
    torch.testing.assert_close(
        torch.compile(model, backend="aot_eager", fullgraph=True)(x), model(x)
    )


@pytest.mark.parametrize("word", sorted(UNARY))
def test_pickles(word):
    φ = Expression(f"add({word}(x),mul(a,x))")
    x = torch.linspace(0.1, 0.9, 5)
    assert torch.equal(pickle.loads(pickle.dumps(φ))(x), φ(x))


class Sum(nn.Module):
    """All expressions in one graph: an export costs seconds, whatever its size."""

    def __init__(self, texts):
        super().__init__()
        self.members = nn.ModuleList([Expression(text) for text in texts])

    def forward(self, x):
        return sum(member(x) for member in self.members)


def test_every_word_exports_to_onnx():
    domain = {"log": "cosh(x)", "sqrt": "exp(x)", "arctanh": "mul(0.4,x)", "reciprocal": "cosh(x)"}
    texts = [f"{word}({domain.get(word, 'x')})" for word in UNARY]
    texts += [
        "sub(mul(a,x),b)",
        "div(x,max(x,3))",
        "max(x,sin(x))",
        "min(x,0.5)",
        "min(x,cos(x))",
        "pow(abs(x),1.5)",
    ]
    model, x = Sum(texts).eval(), torch.linspace(-2, 2, 9)
    program = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model(x).detach(), rtol=1e-4, atol=1e-4)


def test_properties_of_an_expression_are_estimated():
    facts = properties("swish(x)")
    assert facts.derivative_bound == pytest.approx(1.0998, abs=1e-4)
    assert facts.declared == frozenset()


def test_what_looks_like_an_expression():
    assert is_expression("x")
    assert is_expression("tanh(x)")
    assert not is_expression("tanh")
