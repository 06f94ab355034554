"""The laws of a measure, as a test class that every measure inherits, those of others too."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actsearch.errors import ActsearchError, MeasureError
from actsearch.measures.fitted import Fitted
from actsearch.measures.law_modules import (
    OfferingAll,
    OfferingNothing,
    SolvedByHand,
    cross_entropy,
    sum_of_outputs,
)
from actsearch.measures.measure import NEEDS, WHEN, Measure
from actsearch.measures.needs import check, missing
from actsearch.measures.registry import build


class MeasureLaws:
    """What every measure must fulfil.

    Subclass it in a test file, name the measure and what it comes to on a module that is solved by
    hand; pytest runs the rest::

        from actsearch.measures.laws import MeasureLaws

        class TestWeightNorm(MeasureLaws):
            measure = WeightNorm
            known = {"weight_norm": 2.0}

    Attributes:
        measure: the class.
        options: of a fast instance.
        known: values on the module of :meth:`solved`, at least one.
        unchanged_by: changes of the module of :meth:`fitted` to which the definition is blind, such
            as a scale.
        activation: what stands at the sites of both modules: for a measure that not every
            activation allows.
        deterministic: whether two calls must agree; not so for what reads a clock.
    """

    measure: ClassVar[type[Measure]]
    options: ClassVar[dict[str, Any]] = {}
    known: ClassVar[Mapping[str, float]] = {}
    unchanged_by: ClassVar[Sequence[Callable[[nn.Module], None]]] = ()
    activation: str = "relu"
    deterministic: ClassVar[bool] = True

    def fitted(self, batch_size: int) -> Fitted:
        """Return a module that offers all that a measure may need; override it for one of yours.

        Args:
            batch_size: rows of its batches.
        """
        torch.manual_seed(0)
        model = OfferingAll(self.activation)
        return Fitted(model, model.batches(batch_size), loss=cross_entropy, name="classifier")

    def solved(self) -> Fitted:
        """Return :class:`actsearch.measures.law_modules.SolvedByHand`, or a module of yours."""
        model = SolvedByHand(self.activation)
        return Fitted(model, model.batches(), loss=sum_of_outputs, name="solved")

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

    @pytest.mark.parametrize("activation", ["relu", "tanh", "hardshrink"])
    def test_what_has_no_finite_value_is_refused_with_a_reason(self, activation: str) -> None:
        """Smooth, kinked or with a jump: what ``check`` does not refuse is a number."""
        self.activation = activation
        fitted, measure = self.fitted(16), build(self.measure, self.options)
        try:
            check(fitted, [measure])
        except ActsearchError as error:
            refusal = error
        else:
            assert all(map(math.isfinite, measure.values(fitted).values()))
            return
        assert activation != type(self).activation
        assert "\n" not in str(refusal)
        with pytest.raises(type(refusal)):
            measure.values(fitted)

    def test_a_module_that_was_solved_by_hand_has_the_known_values(self) -> None:
        """The numbers are those of the definition."""
        if not self.deterministic:
            pytest.skip("of what reads a clock nothing is known")
        values = build(self.measure, self.options).values(self.solved())
        assert self.known, "known must have what the measure comes to on the solved module"
        assert {name: values.get(name) for name in self.known} == pytest.approx(self.known)

    def test_values_are_blind_to_what_the_definition_is_blind_to(self) -> None:
        """A rotation, a scale: whatever ``unchanged_by`` does."""
        if not self.unchanged_by:
            pytest.skip("the definition is blind to nothing")
        measure = build(self.measure, self.options)
        values = measure.values(self.fitted(16))
        for change in self.unchanged_by:
            changed = self.fitted(16)
            change(changed.module)
            assert measure.values(changed) == pytest.approx(values, rel=1e-4)

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
        bare = Fitted(OfferingNothing(), name="bare")
        measure = build(self.measure, self.options)
        reasons = missing(bare, measure)
        assert reasons.keys() == self.measure.needs
        assert not any("\n" in reason for reason in reasons.values())
        refusal = rf"^{measure.name} must have [^\n]+, but bare has none: [^\n]+$"
        with pytest.raises(MeasureError, match=refusal) if reasons else nullcontext():
            check(bare, [measure])


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
