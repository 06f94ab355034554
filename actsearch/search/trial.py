"""One training, start to end, wherever it runs: build the task, apply the placement, fit, measure."""

from __future__ import annotations

import functools
import logging
import math
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from torch.multiprocessing.spawn import ProcessRaisedException

from actsearch.errors import ActsearchError, TaskError
from actsearch.measures.model import MODEL_MEASURES
from actsearch.placement import Placement
from actsearch.placement.optimiser import own_group
from actsearch.search.distributed import leaves_process
from actsearch.search.first_steps import DivergedError, FirstSteps, StoppedError
from actsearch.search.plan import REDUCTION
from actsearch.search.probe import example_input, has_test, look, model_input
from actsearch.search.specification import Outcome, Report, Specification, State
from actsearch.search.target import Target


class _Reporter(L.Callback):
    """After each validation, hand the metrics over, and end the fit where the answer is to stop.

    Args:
        objectives: metrics that must be there, and finite.
        report: called with the step and the metrics.
        shares: how many smaller trainings come before the whole one; only the end of each is reported.
    """

    def __init__(self, objectives: list[str], report: Report, shares: int = 0) -> None:
        self.objectives = objectives
        self.report = report
        self.left = shares
        self.step = 1 if shares else 0
        self.last: dict[str, float] = {}
        self.history: list[tuple[int, dict[str, float]]] = []
        self.pruned = False
        self.validated = False
        self.batch: Any = None

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Keep the first batch as an example of the model's input."""
        if self.batch is None:
            self.batch = batch

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Note that this epoch was validated."""
        self.validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Report; Lightning has validated by now, and has gathered what training logged as well."""
        if trainer.enable_validation and not self.validated:
            return
        self.validated = False
        metrics = scalars(trainer.callback_metrics)
        require(metrics, self.objectives, type(module).__name__)
        broken = [name for name in self.objectives if not math.isfinite(metrics[name])]
        if broken:
            raise DivergedError(f"{broken[0]} became {metrics[broken[0]]} in epoch {trainer.current_epoch}")
        self.last = metrics
        if not self.left:
            self._report(trainer, self.step + trainer.current_epoch)

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Report the end of a smaller training."""
        if self.left and self.last:
            self._report(trainer, self.step)
            self.step *= REDUCTION
            self.left -= 1

    def _report(self, trainer: L.Trainer, step: int) -> None:
        self.history.append((step, self.last))
        if self.report(step, self.last):
            self.pruned = trainer.should_stop = True


def run_trial(specification: Specification, report: Report) -> Outcome:
    """Run one training.

    Args:
        specification: what to train.
        report: called after each epoch; answers whether to stop.

    Returns:
        What came of it; failures of the training itself are an outcome, not an exception.
    """
    quiet()
    reporter = _Reporter(specification.objectives, report, len(specification.shares))
    watch = FirstSteps(specification.watch)
    start = time.perf_counter()
    try:
        seconds = 0.0
        for index, share in enumerate([*specification.shares, 1.0]):
            extra = _train(specification, reporter, [] if index else [watch], share)
            seconds += extra.pop("seconds")
            if reporter.pruned:
                break
    except StoppedError as stop:
        seconds = time.perf_counter() - start
        return Outcome("pruned", f"stopped: {stop}", history=reporter.history, seconds=seconds, first_steps=watch.found)
    except (Exception, SystemExit) as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # Lightning turns Ctrl-C into sys.exit(1)
            raise KeyboardInterrupt from None
        return Outcome("failed", _reason(error), history=reporter.history, seconds=time.perf_counter() - start)
    state: State = "pruned" if reporter.pruned else "complete"
    metrics = extra.pop("metrics")
    reason = "pruned" if reporter.pruned else ""
    return Outcome(state, reason, metrics, reporter.history, seconds, first_steps=watch.found, **extra)


def _train(
    specification: Specification, reporter: _Reporter, callbacks: list[L.Callback], share: float = 1.0
) -> dict[str, Any]:
    """Train once, on a share of the batches of each epoch."""
    target = Target.resolve(specification.task, specification.data)
    config = specification.config
    if specification.stage == "probe":
        once = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1}
        config = {**config, "trainer": {**config["trainer"], **once}}
    if share < 1:
        given = config["trainer"].get("limit_train_batches") or 1.0
        limited = max(1, round(given * share)) if isinstance(given, int) else given * share
        config = {**config, "trainer": {**config["trainer"], "limit_train_batches": limited}}
    seed(specification.seed)
    module, data, trainer = target.build(config)
    if specification.placement is not None:
        placement = Placement.model_validate(specification.placement)
        example = example_input(module, data, trainer) if specification.example else None
        placement.apply(module, example, force=specification.force)
        if placement.initialisation:
            from actsearch.placement.initialise import initialise

            initialise(module, placement.initialisation, example_input(module, data, trainer))
    _own_optimiser_group(module, specification)
    alone = not leaves_process(trainer)
    trainer.callbacks += [*callbacks, reporter] if alone else []
    seed(specification.seed)  # the same batches and dropout, whatever the activations drew while they were built
    start = time.perf_counter()
    trainer.fit(module, datamodule=data)
    metrics = reporter.history[-1][1] if reporter.history else scalars(trainer.callback_metrics)
    require(metrics, specification.objectives, type(module).__name__)
    if not alone and reporter.batch is None:
        reporter.batch = example_input(module, data, trainer)
    if specification.measures:
        measured = model_input(module, reporter.batch)
        metrics = metrics | {name: MODEL_MEASURES[name](module, measured) for name in specification.measures}
    result: dict[str, Any] = {"metrics": metrics, "seconds": time.perf_counter() - start}
    if specification.stage == "probe":
        result["probe"] = look(module, trainer, specification, reporter.batch)
    if specification.stage == "confirm" and not reporter.pruned:
        result["metrics"] = metrics | _test(module, data, trainer)
    if specification.folder and share == 1:
        _keep(module, Path(specification.folder), specification.pictures)
    return result


def _own_optimiser_group(module: Any, specification: Specification) -> None:
    """Let the module's own ``configure_optimizers`` build its optimisers, with the activations' parameters set apart."""
    factors = specification.activation_learning_rate_factor, specification.learning_rate_factor
    own = vars(module).get("configure_optimizers")  # where it was set on the module and not in its class
    # No closure: a strategy that spawns processes pickles the module.
    module.configure_optimizers = functools.partial(_configure_optimisers, module, own, *factors)


def _configure_optimisers(module: Any, own: Any, factor: float, overall: float) -> Any:
    with own_group(module, factor, overall):
        return own() if own is not None else type(module).configure_optimizers(module)


def _test(module: Any, data: Any, trainer: Any) -> dict[str, float]:
    """Score once on the test split; nothing where the module has none."""
    if not has_test(module):
        return {}
    try:
        results = trainer.test(module, datamodule=data, verbose=False)
    except Exception as error:
        if "test_dataloader" in str(error):
            return {}
        raise
    return {name: float(value) for result in results for name, value in result.items()}


def _keep(module: Any, folder: Path, pictures: bool) -> None:
    """Write the weights, whole or not at all, and the task's pictures."""
    from safetensors.torch import save_model

    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".weights.")
    os.close(handle)
    save_model(module, temporary)
    Path(temporary).replace(folder / "weights.safetensors")
    if pictures and hasattr(module, "pictures"):
        module.eval()
        module.pictures(folder)


def scalars(metrics: Any) -> dict[str, float]:
    """Return the metrics that are one number each."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if not isinstance(value, torch.Tensor) or value.numel() == 1
    }


def require(metrics: dict[str, float], objectives: list[str], module: str) -> None:
    """Raise where an objective was not logged, naming what was."""
    for name in objectives:
        if name not in metrics:
            logged = ", ".join(sorted(metrics)) or "nothing"
            raise TaskError(
                f"metric {name!r} must be logged by {module}, but it logs {logged}. Name one of these with --monitor."
            )


def seed(value: int) -> None:
    """Seed Python, NumPy and torch."""
    L.seed_everything(value, verbose=False)


def quiet() -> None:
    """Keep Lightning's banners and hints for long runs out of a search of short ones."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")


def _reason(error: BaseException) -> str:
    """Return why a training failed: a word that can be counted, and the message."""
    text = " ".join(str(error).split())[:500]
    if isinstance(error, ProcessRaisedException):  # of a rank: its traceback ends with the error
        text = str(error).strip().splitlines()[-1][:500]
    if isinstance(error, DivergedError):
        return f"diverged: {text}"
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return f"out_of_memory: {text}"
    if isinstance(error, SystemExit):
        return f"exited: the training called sys.exit({error.code!r})"
    if isinstance(error, ActsearchError):
        return f"refused: {text}"
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})" if frame else ""
    return f"error: {type(error).__name__}: {text}{where}"
