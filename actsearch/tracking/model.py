"""The winner as a registered model of MLflow: an exported graph, which loads without running."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import load_model

from actsearch.placement import Placement
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.record import StudyRun
from actsearch.search.training.inspect_model import example_input
from actsearch.search.training.target import Target
from actsearch.search.training.train import quiet
from actsearch.tracking.client import server
from actsearch.tracking.replica import Replica

WINNER = "actsearch.winner"
"""The tag of models that tells whose they are: the study, and the trial that won."""


def bring_winner(
    replica: Replica, ask: Callable[[Callable[[], Any]], Any] = lambda work: work()
) -> str:
    """Register a study's winner as a model of the study's name; return what was done.

    There is a new version where the winner is another than that of the last version. The
    serialisation is ``torch.export``'s (pt2), never pickle. A model that cannot be exported is left
    out: its weights and its placement are artifacts all the same, and the study's run tells why.

    Args:
        replica: the study in MLflow.
        ask: calls what speaks to MLflow.

    Raises:
        Exception: whatever MLflow raises.
    """
    run = replica.run
    result = Confirmation.read(run)
    if result is None or not result.comparisons or result.outcome != "better":
        return "no winner"
    number = result.winner[0]
    winner = f"{run.study.user_attrs['actsearch.identity']}:{number}"
    if why := ask(lambda: _registered(replica.client, run.name, winner)):
        return str(why)
    with TemporaryDirectory() as folder:
        told = _export(run, number, Path(folder) / "best")
        if not told:
            told = ask(lambda: _register(replica, winner, result.verdict(), Path(folder) / "best"))
    ask(lambda: replica.client.set_tag(replica.parent, "actsearch.model", told))
    return str(told)


def _registered(client: Any, name: str, winner: str) -> str:
    """Return why a model need not or must not be registered; empty where it is to be."""
    models = client.search_registered_models(f"name = '{name}'")
    if models and "actsearch.study" not in models[0].tags:
        return f"the registered model {name} is somebody else's"
    versions = client.search_model_versions(f"name = '{name}'") if models else []
    last = max(versions, key=lambda one: int(one.version), default=None)
    return f"version {last.version}" if last and last.tags.get(WINNER) == winner else ""


def _export(run: StudyRun, number: int, folder: Path) -> str:
    """Write the winner as a model of MLflow, and return why not where that cannot be."""
    weights = run.weights(number, "confirmed")
    placement = run.placement(run.trials[number])
    if not weights.exists() or placement is None:
        return "no weights"
    if run.config.model:
        return "a training loop's model is left to its owner"
    quiet()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _save(*_trained(run, placement, weights), folder)
    except Exception as error:  # torch.export refuses some models, each with an error of its own
        return f"not exported: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return ""


def _trained(run: StudyRun, placement: Placement, weights: Path) -> tuple[Any, Any]:
    """Return the network that the confirmation has trained, and an input."""
    target = Target.resolve(run.config.task, run.config.data)
    module, data, trainer = target.build(run.config.config)
    example = example_input(module, data, trainer)
    placement.apply(module, example, force=run.config.force)
    load_model(module, weights)
    return module.eval(), example


def _save(module: Any, example: Any, folder: Path) -> None:
    with _own_logging(), contextlib.redirect_stdout(io.StringIO()):
        import mlflow.pytorch

        mlflow.pytorch.save_model(
            module,
            str(folder),
            serialization_format="pt2",
            input_example=example.numpy(),
            pip_requirements=[f"torch=={version('torch').partition('+')[0]}"],
        )


def _register(replica: Replica, winner: str, verdict: str, folder: Path) -> str:
    """Log an exported model below the study's run, and register it; return its version."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    client, name = replica.client, replica.run.name
    found = client.search_logged_models([replica.experiment], f"tags.`{WINNER}` = '{winner}'")
    model = (
        found[0]  # perhaps cut short
        if found
        else client.create_logged_model(
            replica.experiment, name, source_run_id=replica.parent, tags={WINNER: winner}
        )
    )
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    outputs = client.get_run(replica.parent).outputs
    if model.model_id not in [
        known.model_id for known in (outputs.model_outputs if outputs else ())
    ]:
        client.log_outputs(replica.parent, [LoggedModelOutput(model.model_id, 0)])
    with contextlib.suppress(MlflowException):  # it is there already
        client.create_registered_model(name, tags={"actsearch.study": name})
    made = client.create_model_version(
        name,
        # Beside a database MLflow would look the model up where its global settings point.
        f"models:/{model.model_id}" if server() else model.artifact_location,
        run_id=replica.parent,
        tags={WINNER: winner},
        description=verdict,
        model_id=model.model_id,
    )
    return f"version {made.version}"


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
