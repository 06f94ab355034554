"""One training of a LightningModule: build it, apply the placement, fit, measure."""

from __future__ import annotations

import functools
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor, nn

from actsearch.errors import ActsearchWarning
from actsearch.measures.model import MODEL_MEASURES
from actsearch.placement import Placement
from actsearch.placement.optimiser import own_group
from actsearch.search.training.distributed import leaves_process
from actsearch.search.training.first_steps import FirstSteps
from actsearch.search.training.inspect_model import (
    example_input,
    has_test,
    look,
    model_input,
    restores_best,
)
from actsearch.search.training.job import REDUCTION, Outcome, Specification
from actsearch.search.training.reports import Reports, require
from actsearch.search.training.target import Target


class _Reporter(L.Callback):
    """After each validation, hand the metrics over, and end the fit where the answer is to stop.

    Args:
        reports: where they go.
        shares: how many smaller trainings come before the whole one; only the end of each is
            reported.
    """

    def __init__(self, reports: Reports, shares: int = 0) -> None:
        self.reports = reports
        self.left = shares
        self.step = 1 if shares else 0
        self.last: dict[str, float] = {}
        self.validated = False
        self.batch: Any = None

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
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
        self.reports.check(metrics, type(module).__name__)
        self.last = metrics
        if not self.left:
            self._report(trainer, module, self.step + trainer.current_epoch)

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Report the end of a smaller training."""
        if self.left and self.last:
            self._report(trainer, module, self.step)
            self.step *= REDUCTION
            self.left -= 1

    def _report(self, trainer: L.Trainer, module: L.LightningModule, step: int) -> None:
        if self.reports.add(step, self.last, module):
            trainer.should_stop = True


class _Rows(L.Callback):
    """Gather what ``test_step`` returns for each row, by metric."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        *more: Any,
    ) -> None:
        """Keep the vectors of a mapping."""
        for name, value in outputs.items() if isinstance(outputs, Mapping) else ():
            if isinstance(value, Tensor) and value.ndim == 1:
                self.found.setdefault(name, []).extend(value.tolist())


def train_module(specification: Specification, reports: Reports, watch: FirstSteps) -> Outcome:
    """Train a LightningModule, on smaller shares of its batches first where the specification says so."""
    shares = [*specification.shares, 1.0]
    reporter = _Reporter(reports, len(specification.shares))
    seconds = 0.0
    for index, share in enumerate(shares):
        reports.best = None  # the best epoch is one of the whole training
        outcome = _train(specification, reporter, [] if index else [watch], share)
        seconds += outcome.seconds
        if reports.pruned:
            break
    return Outcome(
        "pruned" if reports.pruned else "complete", "pruned" if reports.pruned else "", outcome.metrics,
        rows=outcome.rows, seconds=seconds, probe=outcome.probe,
    )  # fmt: skip


def _train(
    specification: Specification,
    reporter: _Reporter,
    callbacks: list[L.Callback],
    share: float = 1.0,
) -> Outcome:
    """Train once, on a share of the batches of each epoch."""
    target = Target.resolve(specification.task, specification.data)
    with tempfile.TemporaryDirectory(
        prefix="actsearch-"
    ) as scratch:  # for a user's own checkpoints and logs
        config = _config(specification, share, scratch)
        seed(specification.seed)
        module, data, trainer = target.build(config)
        if specification.placement is not None:
            placement = Placement.model_validate(specification.placement)
            place(module, placement, lambda: example_input(module, data, trainer), specification)
        _own_optimiser_group(module, specification)
        alone = not leaves_process(trainer)
        trainer.callbacks += [*callbacks, reporter] if alone else []
        seed(
            specification.seed
        )  # the same batches and dropout, whatever the activations drew while they were built
        start = time.perf_counter()
        with noting_calls(module, alone and specification.stage == "probe") as called:
            trainer.fit(module, datamodule=data)
        reports = reporter.reports
        last = reports.history[-1][1] if reports.history else scalars(trainer.callback_metrics)
        metrics = reports.settle(last, module)
        require(metrics, specification.objectives, type(module).__name__)
        if not alone and reporter.batch is None:
            reporter.batch = example_input(module, data, trainer)
        if specification.measures:
            measured = model_input(module, reporter.batch)
            metrics = metrics | {
                name: MODEL_MEASURES[name](module, measured) for name in specification.measures
            }
        probe: dict[str, Any] = {}
        rows: dict[str, list[float]] = {}
        seconds = time.perf_counter() - start
        if specification.stage == "probe":
            loader = trainer.train_dataloader
            limit = specification.config["trainer"].get("limit_train_batches")
            seen = called if alone else None  # what ran in other processes is not known here
            example = model_input(module, reporter.batch)
            probe = look(module, example, specification, reporter.batch, seen, loader, limit)
            probe |= {"has_test": has_test(module), "restores_best": restores_best(trainer)}
        if specification.stage == "confirm" and not reports.pruned:
            tested, rows = _test(module, data, trainer)
            metrics = metrics | tested
        if specification.folder and share == 1:
            keep(module, Path(specification.folder), specification.pictures)
    return Outcome("complete", metrics=metrics, rows=rows, seconds=seconds, probe=probe)


def _config(specification: Specification, share: float, scratch: str) -> dict[str, Any]:
    """Return the options of one training: those of the study, and what this training has of its own."""
    config = specification.config
    trainer = {"default_root_dir": scratch, **config["trainer"]}
    if specification.stage == "probe":
        trainer |= {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1}
    if share < 1:
        given = trainer.get("limit_train_batches") or 1.0
        trainer["limit_train_batches"] = (
            max(1, round(given * share)) if isinstance(given, int) else given * share
        )
    config = {**config, "trainer": trainer}
    if specification.split is not None:
        option, value = specification.split
        part, _, name = option.partition(".")
        config = {**config, part: {**config[part], name: value}}
    return config


def place(
    module: nn.Module,
    placement: Placement,
    example: Callable[[], Any],
    specification: Specification,
) -> None:
    """Apply a placement as the specification asks for it.

    Args:
        module: a fresh model.
        placement: what stands where.
        example: returns an input of the model, where one is needed.
        specification: of the training.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ActsearchWarning
        )  # a candidate that changes nothing is trained like any other
        placement.apply(
            module, example() if specification.example else None, force=specification.force
        )
    if placement.initialisation:
        from actsearch.placement.initialise import initialise

        initialise(module, placement.initialisation, example())


@contextmanager
def noting_calls(module: nn.Module, wanted: bool) -> Iterator[set[str]]:
    """Note the paths of the modules that run."""
    called: set[str] = set()
    handles = [
        part.register_forward_hook(lambda *_, path=path: called.add(path))
        for path, part in (module.named_modules(remove_duplicate=False) if wanted else ())
    ]
    try:
        yield called
    finally:
        for handle in handles:
            handle.remove()


def _own_optimiser_group(module: Any, specification: Specification) -> None:
    """Let the module's own ``configure_optimizers`` build its optimisers, with the activations' parameters set apart."""
    factors = specification.activation_learning_rate_factor, specification.learning_rate_factor
    own = vars(module).get(
        "configure_optimizers"
    )  # where it was set on the module and not in its class
    # No closure: a strategy that spawns processes pickles the module.
    module.configure_optimizers = functools.partial(_configure_optimisers, module, own, *factors)


def _configure_optimisers(module: Any, own: Any, factor: float, overall: float) -> Any:
    with own_group(module, factor, overall):
        return own() if own is not None else type(module).configure_optimizers(module)


def _test(module: Any, data: Any, trainer: Any) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Score once on the test split, as a whole and by rows; nothing where the module has none."""
    if not has_test(module):
        return {}, {}
    rows = _Rows()
    trainer.callbacks.append(rows)
    try:
        results = trainer.test(module, datamodule=data, verbose=False)
    except Exception as error:
        if "test_dataloader" in str(error):
            return {}, {}
        raise
    return {name: float(value) for result in results for name, value in result.items()}, rows.found


def keep(module: nn.Module, folder: Path, pictures: bool) -> None:
    """Write the weights, whole or not at all, and the task's pictures."""
    from safetensors.torch import save_model

    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".weights.")
    os.close(handle)
    save_model(module, temporary)
    Path(temporary).replace(folder / "weights.safetensors")
    draw: Any = getattr(module, "pictures", None)
    if pictures and draw is not None:
        module.eval()
        draw(folder)


def scalars(metrics: Any) -> dict[str, float]:
    """Return the metrics that are one number each."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if not isinstance(value, torch.Tensor) or value.numel() == 1
    }


def seed(value: int) -> None:
    """Seed Python, NumPy and torch."""
    L.seed_everything(value, verbose=False)
