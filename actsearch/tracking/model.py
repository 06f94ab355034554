"""The confirmed best as a model in MLflow: an exported graph, which loads without running."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from safetensors.torch import load_model

from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.record import StudyRun
from actsearch.search.training.inspect_model import example_input
from actsearch.search.training.target import Target
from actsearch.search.training.train import quiet


def log_best_model(run: StudyRun, uri: str, parent: str) -> str:
    """Log the best confirmed model of a study to its parent run; return what was done.

    The serialisation is ``torch.export``'s (pt2), never pickle. A model that cannot be exported is
    left out: its weights and its placement are artifacts all the same.
    """
    result = Confirmation.read(run)
    if result is None or not result.comparisons or result.outcome != "better":
        return "no winner"
    number = result.winner[0]
    weights = run.folder / "confirmed" / f"{number:05d}" / "weights.safetensors"
    placement = run.placement(run.trials[number])
    if not weights.exists() or placement is None:
        return "no weights"
    if run.config.model:
        return "a training loop's model is left to its owner"
    quiet()
    module, data, trainer = Target.resolve(run.config.task, run.config.data).build(
        run.config.config
    )
    example = example_input(module, data, trainer)
    placement.apply(module, example, force=run.config.force)
    load_model(module, weights)
    try:
        _log(module.eval(), example, run, uri, parent)
    except Exception as error:  # torch.export refuses some models, each with an error of its own
        return f"not exported: {type(error).__name__}"
    return "exported"


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Keep the user's logging as it is: what MLflow imports sets handlers and levels for all."""
    loggers = [logging.getLogger(name) for name in (None, "pytorch_lightning", "lightning.pytorch")]
    before = [(logger, list(logger.handlers), logger.level) for logger in loggers]
    try:
        yield
    finally:
        for logger, handlers, level in before:
            logger.handlers[:] = handlers
            logger.setLevel(level)


def _log(module: Any, example: Any, run: StudyRun, uri: str, parent: str) -> None:
    import mlflow

    given = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)  # log_model knows no other way; it also changes the environment
    try:
        with (
            _own_logging(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            mlflow.start_run(run_id=parent),
        ):
            warnings.simplefilter("ignore")
            mlflow.pytorch.log_model(
                module,
                name="best",
                serialization_format="pt2",
                input_example=example.numpy(),
                pip_requirements=[f"torch=={version('torch').partition('+')[0]}"],
            )
    finally:
        mlflow.set_tracking_uri(given or "")
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        os.environ.update({} if given is None else {"MLFLOW_TRACKING_URI": given})
