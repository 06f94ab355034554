"""A placement and the model without it, trained by the same seeds and measured."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actsearch.errors import ActsearchError, StudyError, TaskError
from actsearch.measures import Fitted, Measure, check
from actsearch.measures.loaders import Part
from actsearch.placement import Placement
from actsearch.search.study.placement_file import placement_file
from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store
from actsearch.search.training.fit import place, seed
from actsearch.search.training.inspect_model import example_input
from actsearch.search.training.job import WEIGHTS, Job
from actsearch.search.training.seeds import derive
from actsearch.search.training.target import Target
from actsearch.search.training.train import run_job


@dataclass(frozen=True)
class MeasuredArm:
    """What is measured.

    Args:
        name: ``model as it is``, ``baseline`` or ``placement``.
        job: its training.
        weights: of that training, where they were kept.
    """

    name: str
    job: Job
    weights: Path | None = None

    def with_seed(self, number: int) -> MeasuredArm:
        """Return the same with another seed; 0 is its own."""
        if not number:
            return self
        other = replace(self.job, seed=derive(self.job.seed, "measured", number))
        return MeasuredArm(self.name, other)

    def untrained(self, part: Part) -> Fitted:
        """Return the module before its training.

        Raises:
            TaskError: it cannot be built outside of its training.
        """
        return self._fitted(part, None)

    def trained(self, part: Part) -> Fitted:
        """Return the module after its training, whose weights are loaded or made.

        Raises:
            TaskError: the training fails.
        """
        if self.weights is not None:
            return self._fitted(part, self.weights)
        with tempfile.TemporaryDirectory(prefix="actsearch-") as scratch:
            result = run_job(replace(self.job, folder=scratch), lambda *_: False)
            if result.state != "complete":
                raise TaskError(
                    f"the training must end well to be measured, but it {result.state}:"
                    f" {result.reason}"
                )
            return self._fitted(part, Path(scratch) / WEIGHTS)

    def _fitted(self, part: Part, weights: Path | None) -> Fitted:
        module, data = _built(self.job, part, weights)
        return Fitted(module, data, part=part, name=self.job.task)


def arms_of_file(
    file: str, task: str, data: str, config: dict[str, Any], seed: int
) -> tuple[MeasuredArm, MeasuredArm]:
    """Return a task's model as it is, and with a placement file, at its own learning rate."""
    placement = Placement.load(file)
    own = Job(task, config, [], data=data, seed=seed)
    factor = placement.learning_rate_factor
    found = replace(own, placement=placement, learning_rate_factor=factor)
    return MeasuredArm("model as it is", own), MeasuredArm("placement", found)


def arms_of_study(name: str, store: str, record: str = "") -> tuple[MeasuredArm, MeasuredArm]:
    """Return a study's baseline and its best placement, each with its weights where kept.

    Raises:
        StudyError: nothing was found yet, or the study trains by a function.
    """
    study = StudyRun.load(Store(store, record), name)
    if study.config.model:
        raise StudyError(
            f"a study must train a LightningModule to be measured afterwards, but {name!r} trains"
            f" by the function {study.config.task}. Give the measures to the search as objectives."
        )
    file = placement_file(study)
    if file is None:
        raise StudyError(
            f"study {name!r} must have a completed trial besides the baseline. Run more trials."
        )
    placement, baseline = Placement.load(file), study.baseline
    assert baseline is not None, "without one there is no trial beside it"

    def arm(name: str, placement: Placement | None, factor: float, trial: int) -> MeasuredArm:
        job = study.job(placement, learning_rate_factor=factor)
        weights = study.weights(trial)
        job = replace(job, measures={}, objectives=[])
        return MeasuredArm(name, job, weights if weights.exists() else None)

    return (
        arm("baseline", None, study.factor(baseline), baseline.number),
        arm("placement", placement, placement.learning_rate_factor, placement.found["trial"]),
    )


def values_of(fitted: Fitted, measures: Iterable[Measure]) -> dict[str, float]:
    """Return what measures say of a module; those that it cannot have are left out."""
    values: dict[str, float] = {}
    for measure in measures:
        try:
            check(fitted, [measure])
        except ActsearchError:
            continue
        values |= measure.values(fitted)
    return values


def _built(job: Job, part: Part, weights: Path | None) -> tuple[Any, Any]:
    """Return the module of a job with its placement, and its data module, ready to be measured.

    Raises:
        TaskError: it cannot be built again, or its data cannot be set up without a trainer.
    """
    from safetensors.torch import load_model

    try:
        seed(job.seed)
        module, data, trainer = Target.resolve(job.task, job.data).build(job.config)
        if job.placement is not None:
            place(module, job.placement, lambda: example_input(module, data, trainer), job)
        source = module if data is None else data
        source.prepare_data()
        source.setup("fit")
        if part == "test":
            source.setup("test")
        if weights is not None:
            load_model(module, weights)
    except ActsearchError:
        raise
    except Exception as error:  # the module's own code
        raise TaskError(
            f"{job.task} must be built outside of its training to be measured, but got"
            f" {type(error).__name__}: {error}"
        ) from error
    return module, data
