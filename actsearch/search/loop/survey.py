"""The look at a model before a search: its sites, and whether the search can work."""

from __future__ import annotations

import warnings
from dataclasses import replace

from actsearch.errors import ActsearchWarning, InvalidValueError, TaskError
from actsearch.search.executors.executor import Executor
from actsearch.search.samplers.by_name import make_pruner, make_sampler
from actsearch.search.study.config import StudyConfig
from actsearch.search.study.record import StudyRun, bound_space
from actsearch.search.training.job import ModelInfo, Result
from actsearch.search.training.origin import origin
from actsearch.search.training.user_loop import Loop

SURVEY = -1
"""The key of the job that inspects the model; trials have their numbers."""


def survey(config: StudyConfig, executor: Executor) -> ModelInfo:
    """Look at the model, and refuse what cannot work.

    Raises:
        SearchSpaceError: the space does not fit the model.
        TaskError: the task cannot be trained as asked.
        UnknownNameError, InvalidValueError: no such sampler or pruner, or not for these objectives.
    """
    make_sampler(config.sampler, 0, len(config.goals), experience=config.experience)
    make_pruner(config.pruner, 1)
    info = _inspected(config, executor)
    for note in info.notes:
        warnings.warn(note + ".", ActsearchWarning, stacklevel=3)
    if config.data_fractions:
        _check_batches(config, info)
    bound_space(config, info)
    return info


def survey_again(run: StudyRun, executor: Executor) -> ModelInfo:
    """Look at the model of a study that goes on, to see what has changed.

    A training function is not called, which would take an epoch of it: its code tells.

    Raises:
        TaskError: it cannot be trained any more.
    """
    config = run.config
    if not config.model:
        return survey(config, executor)
    loop = Loop.resolve(config.task, config.model)
    return replace(run.model_info, origin=origin((loop.train, loop.build), {}, lambda: None))


def _inspected(config: StudyConfig, executor: Executor) -> ModelInfo:
    """Run one batch of the model's own training, and return what was seen."""
    executor.submit(SURVEY, config.job(None, "inspect"))
    ended: list[tuple[int, Result]] = []
    while not ended:
        ended = executor.wait(lambda *_: False)
    result = ended[0][1]
    if result.model_info is None:
        kind, _, text = result.reason.partition(": ")
        reason = text if kind == "refused" else result.reason
        if "train_dataloader" in reason and not config.data:
            reason = "it has no train_dataloader. Give its LightningDataModule: --data CLASS"
        raise TaskError(f"{config.task} cannot be trained: {reason.rstrip('.')}.")
    return result.model_info


def _check_batches(config: StudyConfig, info: ModelInfo) -> None:
    if config.model:
        raise InvalidValueError(
            "fidelity must be epochs for a training function, whose batches are its own, but got"
            f" {config.fidelity!r}."
        )
    fewest = round(1 / min(config.data_fractions))
    if info.batches is not None and info.batches < fewest:
        raise InvalidValueError(
            f"fidelity {config.fidelity!r} must have at least {fewest} batches in an epoch, but got"
            f" {info.batches}. Choose --fidelity epochs, or smaller batches."
        )
