"""The derivatives of a network, and the measure of their error."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actsearch.errors import MeasureError
from actsearch.measures import Fitted, build, check
from actsearch.measures.functional.partial_derivatives import partial_derivatives

X = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]


class Regression(nn.Module):
    """A network that should be x³."""

    def __init__(self, *layers, orders=3):
        super().__init__()
        self.network = nn.Sequential(*layers).double()
        self.orders = orders

    def forward(self, x):
        return self.network(x)

    def derivatives(self, batch):
        x = batch[0]
        return (x**3, 3 * x[..., None] ** 2, 6 * x[..., None, None])[: self.orders]


class Cube(nn.Module):
    def forward(self, x):
        return x**3


def errors(model, size=4):
    batches = [(part,) for part in X.split(size)]
    return build("derivative_error").values(Fitted(model, {"val": batches}))


def test_a_network_that_is_the_function_has_no_error_and_one_of_relu_no_second_derivative():
    assert set(errors(Regression(Cube())).values()) == {0}
    torch.manual_seed(0)
    kinked = errors(Regression(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1)))
    assert kinked["derivative_error/second"] == 1
    assert kinked["derivative_error/first"] not in (0, 1)


def test_only_known_orders_are_measured_at_any_batch_size():
    model = Regression(nn.Linear(1, 1), orders=2)
    one, all_at_once = errors(model, 1), errors(model, 9)
    assert one.keys() == {"derivative_error/value", "derivative_error/first"}
    assert one == pytest.approx(all_at_once)


def test_mixed_derivatives_of_several_inputs_and_outputs_are_those_of_autograd():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    value, first, second, third = partial_derivatives(model, x, 3)
    assert third.shape == (4, 2, 3, 3, 3)
    torch.testing.assert_close(value, model(x))
    for row in range(4):
        jacobian = torch.autograd.functional.jacobian(model, x[row])
        torch.testing.assert_close(first[row], jacobian)
        for output in range(2):
            hessian = torch.autograd.functional.hessian(lambda z: model(z)[output], x[row])  # noqa: B023
            torch.testing.assert_close(second[row, output], hessian)
    second.square().sum().backward()
    assert model[0].weight.grad.any()


def test_what_cannot_be_compared_is_told_before_any_training():
    class Wrong(Regression):
        def derivatives(self, batch):
            return batch[0], batch[0]

    batches = {"val": [(X,)]}
    measure = build("derivative_error")
    with pytest.raises(MeasureError, match=r"shapes \[\(9, 1\), \(9, 1, 1\)\], .* got \[\(9, 1\)"):
        check(Fitted(Wrong(Cube()), batches), [measure])
    with pytest.raises(MeasureError, match=r"0 everywhere, .* Return fewer orders"):
        measure.values(Fitted(Regression(Cube()), {"val": [(0 * X,)]}))
