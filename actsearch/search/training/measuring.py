"""Measures of a training: which are wanted, whether the module can have them, and their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from actsearch.errors import ActsearchError, MeasureError, TaskError
from actsearch.measures import Fitted, Measure, all_measures, build, check
from actsearch.measures.loaders import Part
from actsearch.measures.measure import When
from actsearch.search.training import given
from actsearch.search.training.job import Job


class Measuring:
    """The measures of one job.

    Args:
        job: what is trained, with the measures that it wants.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.measures = [build(given.look_up(name) or name, o) for name, o in job.measures.items()]

    def values(
        self, when: When, module: nn.Module, data: Any, example: Any, part: Part = "val"
    ) -> dict[str, float]:
        """Return the values of the measures that are due.

        Args:
            when: ``epoch``, ``end`` or ``confirm``.
            module: the module as it is now.
            data: its data module, or ``None``.
            example: an input of it.
            part: the split that is measured.
        """
        return self._values(
            [m for m in self.measures if m.when == when], module, data, example, part
        )

    def after(self, epoch: int, module: nn.Module, data: Any, example: Any) -> dict[str, float]:
        """Return what is due after an epoch of training: each time, or every so many epochs.

        Args:
            epoch: its number, from 0.
            module: the module as it is now.
            data: its data module, or ``None``.
            example: an input of it.
        """
        # Whether a module can have them is asked once it was looked at.
        every = 0 if self.job.kind == "inspect" else self.job.measure_every
        times: tuple[When, ...] = ("epoch",)
        if every and (epoch + 1) % every == 0:
            times = ("epoch", "end")
        return self._values([m for m in self.measures if m.when in times], module, data, example)

    def _values(
        self,
        due: Sequence[Measure],
        module: nn.Module,
        data: Any,
        example: Any,
        part: Part = "val",
    ) -> dict[str, float]:
        if not due:
            return {}
        fitted = Fitted(module, data, example=example, part=part, name=self.job.task)
        return {name: v for measure in due for name, v in measure.values(fitted).items()}

    def may_have(self, name: str) -> bool:
        """Whether a name is one of a measure."""
        known = {*all_measures(), *(measure.name for measure in self.measures)}
        return name.partition("/")[0] in known

    def unlogged(
        self, metrics: Mapping[str, float], module: nn.Module, data: Any, example: Any
    ) -> list[str]:
        """Return the names of objectives and bounds that are not logged but measured.

        Args:
            metrics: what the module has logged; a name that it logs is no measure's.
            module: the module, trained or not.
            data: its data module, or ``None``.
            example: an input of it.

        Raises:
            TaskError: a name that is neither logged nor a measure's.
            MeasureError: a measure that the module cannot have, or that comes too late.
        """
        called = self.job.task if self.job.model else type(module).__name__
        fitted = Fitted(module, data, example=example, name=called)
        check(fitted, self.measures)
        each_epoch = {measure.name for measure in self.measures if measure.when == "epoch"}
        logged = {name for name in metrics if name.partition("/")[0] not in each_epoch}
        names = [name for name in self.job.objectives if name not in logged]
        for name in names:
            measure = self._measure_of(name, metrics, called)
            if measure.when == "confirm":
                raise MeasureError(
                    f"{measure.name} must be cheap to be an objective or a bound, but it is"
                    " computed on what is confirmed alone. Pass it with --measure."
                )
            check(fitted, [measure])
            if name not in (values := measure.values(fitted)):
                raise MeasureError(
                    f"{name!r} must be a value of {measure.name}, but it has"
                    f" {', '.join(sorted(values))}."
                )
        return names

    def _measure_of(self, name: str, metrics: Mapping[str, float], called: str) -> Measure:
        head = name.partition("/")[0]
        for measure in self.measures:
            if measure.name == head:
                return measure
        try:
            return build(head)
        except ActsearchError:
            require(metrics, [name], called)
            raise


def require(metrics: Mapping[str, float], objectives: Sequence[str], name: str) -> None:
    """Raise where an objective was not logged, naming what was.

    Raises:
        TaskError: an objective is missing.
    """
    for objective in objectives:
        if objective not in metrics:
            logged = ", ".join(sorted(metrics)) or "nothing"
            raise TaskError(
                f"metric {objective!r} must be logged by {name}, but it logs {logged}. Name one of"
                " these with --monitor, or a measure that `actsearch measures` lists."
            )
