"""The laws of a measure, as a test class that every measure inherits, those of others too."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch.errors import ActsearchError, MeasureError
from actsearch.measures.fitted import Fitted
from actsearch.measures.measure import NEEDS, WHEN, Measure
from actsearch.measures.needs import check, missing
from actsearch.measures.registry import build
from actsearch.placement import Site


class MeasureLaws:
    """What every measure must fulfil.

    Subclass it in a test file and name the measure; pytest runs the rest::

        from actsearch.measures.laws import MeasureLaws

        class TestWeightNorm(MeasureLaws):
            measure = WeightNorm

    Attributes:
        measure: the class.
        options: of a fast instance.
        deterministic: whether two calls must agree; not so for what reads a clock.
    """

    measure: ClassVar[type[Measure]]
    options: ClassVar[dict[str, Any]] = {}
    deterministic: ClassVar[bool] = True

    def fitted(self, batch_size: int) -> Fitted:
        """Return a module that offers all that a measure may need; override it for one of yours.

        Args:
            batch_size: rows of its batches.
        """
        torch.manual_seed(0)
        return Fitted(_Classifier(), _batches(batch_size), loss=_cross_entropy, name="classifier")

    def test_name_direction_needs_and_time_are_declared(self) -> None:
        """A machine can read what the measure is."""
        assert self.measure.name.isidentifier()
        assert self.measure.name == self.measure.name.lower()
        assert self.measure.direction in ("min", "max", None)
        assert self.measure.needs <= NEEDS.keys()
        assert self.measure.when in WHEN

    def test_options_have_a_type_a_default_and_a_line_in_the_docstring(self) -> None:
        """A name alone builds it, and help can be shown."""
        assert inspect.getdoc(self.measure)
        _, _, arguments = (inspect.getdoc(self.measure) or "").partition("Args:")
        for name, parameter in inspect.signature(self.measure).parameters.items():
            assert parameter.annotation is not parameter.empty
            assert parameter.default is not parameter.empty
            assert f"    {name}: " in arguments

    def test_a_wrong_option_is_told_in_one_line(self) -> None:
        """The message names the measure's own options."""
        with pytest.raises(ActsearchError) as raised:
            build(self.measure, {"no_such_option": 1})
        assert "\n" not in str(raised.value)
        assert f"option of {self.measure.name} 'no_such_option'" in str(raised.value)

    @pytest.mark.parametrize("batch_size", [1, 7, 64])
    def test_values_are_finite_at_any_batch_size(self, batch_size: int) -> None:
        """Values are numbers under the measure's name."""
        values = build(self.measure, self.options).values(self.fitted(batch_size))
        assert values
        for name, value in values.items():
            assert name.partition("/")[0] == self.measure.name
            assert math.isfinite(value)

    def test_the_same_module_has_the_same_values(self) -> None:
        """Two calls, and two instances, agree; the state of random numbers plays no part."""
        fitted, again = self.fitted(16), self.fitted(16)
        measure = build(self.measure, self.options)
        first = measure.values(fitted)
        torch.manual_seed(1)
        second, third = measure.values(fitted), build(self.measure, self.options).values(again)
        assert first.keys() == second.keys() == third.keys()
        assert (first == second == third) or not self.deterministic

    def test_the_module_and_random_numbers_are_left_as_they_were(self) -> None:
        """Parameters, buffers, gradients, mode, hooks and draws are as before."""
        fitted = self.fitted(16)
        fitted.module.train()
        for parameter in fitted.module.parameters():
            parameter.grad = torch.ones_like(parameter)
        before = list(_state(fitted.module))
        build(self.measure, self.options).values(fitted)
        assert all(_same(*pair) for pair in zip(before, _state(fitted.module), strict=True))

    def test_an_unmet_need_is_told_in_one_line(self) -> None:
        """A module that offers nothing lacks all that is needed, each with a reason."""
        bare = Fitted(_Bare(), name="bare")
        measure = build(self.measure, self.options)
        reasons = missing(bare, measure)
        assert reasons.keys() == self.measure.needs
        assert not any("\n" in reason for reason in reasons.values())
        refusal = rf"^{measure.name} must have [^\n]+, but bare has none: [^\n]+$"
        with pytest.raises(MeasureError, match=refusal) if reasons else nullcontext():
            check(bare, [measure])


class _Bare(nn.Module):
    """Offers nothing."""


class _Classifier(nn.Module):
    """Offers everything."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), Site("hardtanh"), nn.Linear(8, 8), Site("relu")
        )
        self.head = nn.Linear(8, 3)
        self.body[1].eval()
        self.example_input_array = torch.randn(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        return self.body(x)  # type: ignore[no-any-return]

    def views(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x)

    def derivatives(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return torch.ones(len(batch[0]), 3), torch.ones(len(batch[0]), 3, 4)

    def losses(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return {"class": _cross_entropy(self, batch), "size": self(batch[0]).square().mean()}


def _batches(size: int) -> dict[str, list[tuple[Tensor, ...]]]:
    x = torch.randn(96, 4)
    y = torch.arange(96) % 3
    batches: list[tuple[Tensor, ...]] = list(zip(x.split(size), y.split(size), strict=True))
    half = len(batches) // 2
    shifted: list[tuple[Tensor, ...]] = [(3 + part,) for part in x.split(size)]
    return {"train": batches, "val": batches[:half], "second": shifted}


def _cross_entropy(module: nn.Module, batch: Any) -> Tensor:
    x, y = batch
    return F.cross_entropy(module(x), y)


def _state(module: nn.Module) -> Iterator[Any]:
    """Yield all that a measure must leave as it is."""
    for part in module.modules():
        yield part.training
        yield len(part._forward_hooks), len(part._forward_pre_hooks), len(part._backward_hooks)
    for tensor in (*module.parameters(), *module.buffers()):
        yield tensor.detach().clone()
        yield tensor.requires_grad
        yield None if tensor.grad is None else tensor.grad.clone()
    yield torch.get_rng_state()
    yield random.getstate()
    yield np.random.get_state(legacy=False)["state"]["key"].tolist()


def _same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)
