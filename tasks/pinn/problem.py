"""A differential equation with its conditions, as a class; derivatives go by their names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError, TaskError, UnknownNameError
from actsearch.search.training.target import imported


class Problem(ABC):
    """A differential equation on a box, with what is known of its solution.

    The heat equation of a rod whose ends are held at 0, with a diffusivity that is measured::

        class Rod(Problem):
            inputs, outputs = ("x", "t"), ("u",)
            bounds = ((0.0, 1.0), (0.0, 2.0))
            order = 2
            coefficients = {"alpha": 1.0}

            def residual(self, x, u, d):
                return d("u", "t") - self.coefficients["alpha"] * d("u", "xx")

            def conditions(self, points):
                start = points[points[:, 1] == 0]
                ends = points[(points[:, 0] == 0) | (points[:, 0] == 1)]
                return [(start, start[:, :1].sin()), (ends, 0 * ends[:, :1])]

    Attributes:
        inputs: a letter for each input.
        outputs: a name for each output.
        bounds: the least and the greatest value of each input.
        order: of the highest derivative in the equation, at least 1.
        coefficients: values where the equation's unknown coefficients start, none of them 0; what
            :meth:`residual` reads follows the training where there are measured rows.
    """

    inputs: ClassVar[tuple[str, ...]]
    outputs: ClassVar[tuple[str, ...]]
    bounds: ClassVar[tuple[tuple[float, float], ...]]
    order: ClassVar[int]
    coefficients: Mapping[str, Any] = {}

    @abstractmethod
    def residual(self, x: Tensor, u: Tensor, d: Derivatives) -> Tensor:
        """Return what the equations leave, ``(N,)`` or ``(N, equations)``; 0 of a solution.

        Args:
            x: points ``(N, inputs)``.
            u: values there ``(N, outputs)``.
            d: derivatives there ``(N,)``, by name: ``d("u", "xx")``.
        """

    @abstractmethod
    def conditions(self, points: Tensor) -> Sequence[tuple[Tensor, Tensor]]:
        """Return where the solution is prescribed, and its values there.

        Args:
            points: on all faces of the box ``(M, inputs)``, exactly; other points may be returned.

        Returns:
            Pairs of points ``(K, inputs)`` and values ``(K, outputs)``, NaN where free.
        """

    def exact(self, x: Tensor) -> Tensor | None:
        """Return the solution ``(N, outputs)`` where it is known, to judge by."""
        return None

    def transform(self, x: Tensor, u: Tensor) -> Tensor | None:
        """Return values that keep the conditions whatever ``u`` is, for a hard boundary."""
        return None


class Derivatives:
    """Derivatives of a solution by name: ``d("u", "xx")``; each is computed where it is asked for.

    Args:
        problem: whose names they are.
        x: points ``(N, inputs)`` that require a gradient.
        u: values there ``(N, outputs)``.
    """

    def __init__(self, problem: Problem, x: Tensor, u: Tensor) -> None:
        self.problem, self.x = problem, x
        self.values = dict(zip(problem.outputs, u.unbind(1), strict=True))
        self.gradients: dict[tuple[str, str], tuple[Tensor, ...]] = {}

    def __call__(self, output: str, by: str) -> Tensor:
        """Return a derivative ``(N,)``; what does not depend on x has 0.

        Args:
            output: of which output.
            by: the inputs, a letter for each time.

        Raises:
            UnknownNameError: no such output or input.
            InvalidValueError: an order above that of the problem.
        """
        if len(by) > self.problem.order:
            raise InvalidValueError(
                f"order of {type(self.problem).__name__} must be at least {len(by)}, since its"
                f" residual has {output}_{by}, but got {self.problem.order}."
            )
        if output not in self.values:
            raise UnknownNameError.among("output", output, self.values)
        if not by:
            return self.values[output]
        if by[-1] not in self.problem.inputs:
            raise UnknownNameError.among("input", by[-1], self.problem.inputs)
        return self._gradient(output, by[:-1])[self.problem.inputs.index(by[-1])]

    def _gradient(self, output: str, by: str) -> tuple[Tensor, ...]:
        if (output, by) not in self.gradients:
            value = self(output, by)
            gradient = torch.zeros_like(self.x)
            if value.requires_grad:  # else nothing of it depends on anything
                (gradient,) = torch.autograd.grad(
                    value.sum(),
                    self.x,
                    create_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
            self.gradients[output, by] = gradient.unbind(1)
        return self.gradients[output, by]


def find_problem(name: str, shipped: Mapping[str, type[Problem]]) -> Problem:
    """Return a problem by name, or of a class at a dotted path ``package.module.Class``.

    Raises:
        UnknownNameError: no such name; the message has the nearest.
        TaskError: a path that leads to no complete problem.
        InvalidValueError: names, bounds, an order or coefficients that are not that.
    """
    if name in shipped:
        return shipped[name]()
    if "." not in name:
        raise UnknownNameError.among(
            "problem", name, shipped, "Or the dotted path of a Problem of your own."
        )
    found = imported(name)
    if not isinstance(found, type) or not issubclass(found, Problem):
        raise TaskError(f"{name!r} must be a subclass of {Problem.__module__}.Problem.")
    lacking = sorted(found.__abstractmethods__) + [
        attribute for attribute in Problem.__annotations__ if not hasattr(found, attribute)
    ]
    if lacking:
        raise TaskError(f"{name!r} must have {', '.join(lacking)}.")
    problem = found()
    _check(problem)
    return problem


def _check(problem: Problem) -> None:
    what = type(problem).__name__
    if not problem.inputs or any(len(name) != 1 for name in problem.inputs):
        raise InvalidValueError(
            f"inputs of {what} must be a letter each, since derivatives are named by them, but got"
            f" {problem.inputs!r}."
        )
    pairs = [bound for bound in problem.bounds if len(bound) == 2 and bound[0] < bound[1]]
    if len(pairs) != len(problem.inputs) or len(problem.bounds) != len(pairs):
        raise InvalidValueError(
            f"bounds of {what} must be a rising pair for each of {', '.join(problem.inputs)}, but"
            f" got {problem.bounds!r}."
        )
    if not isinstance(problem.order, int) or problem.order < 1:
        raise InvalidValueError(
            f"order of {what} must be a whole number of at least 1, but got {problem.order!r}."
        )
    if not all(problem.coefficients.values()):
        raise InvalidValueError(
            f"coefficients of {what} must start at what is not 0, their scale, but got"
            f" {dict(problem.coefficients)!r}."
        )
