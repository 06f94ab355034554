"""One training of a LightningModule: build it, apply the placement, fit, measure."""

from __future__ import annotations

import functools
import secrets
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch.errors import ActsearchWarning
from actsearch.measures.loaders import Part
from actsearch.placement import Placement
from actsearch.placement.optimiser import own_group
from actsearch.search.training.early_stopping import EarlyStopping
from actsearch.search.training.inspect_model import (
    Seen,
    example_input,
    has_test,
    inspect_model,
    model_input,
    restores_best,
)
from actsearch.search.training.job import REDUCTION, WEIGHTS, Job, Result
from actsearch.search.training.measuring import Measuring, require
from actsearch.search.training.origin import Origin, origin
from actsearch.search.training.ranks import check_ranks, plain_ddp
from actsearch.search.training.reports import Reports
from actsearch.search.training.target import Target


class _Reporter(L.Callback):
    """After each validation, hand the metrics over, and end the fit where the answer is to stop.

    Args:
        reports: where they go.
        measuring: the measures, of which some are due after each epoch.
        smaller: how many smaller trainings come before the whole one; only the end of each is
            reported.
    """

    def __init__(self, reports: Reports, measuring: Measuring, smaller: int = 0) -> None:
        self.reports = reports
        self.measuring = measuring
        self.left = smaller
        self.step = 1 if smaller else 0
        self.last: dict[str, float] = {}
        self.validated = False
        self.batch: Any = None

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the first batch as an example of the model's input."""
        if self.batch is None:
            self.batch = batch

    @override
    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Report; Lightning has validated by now, and has gathered what training logged as well."""
        if trainer.enable_validation and not self.validated:
            return
        self.validated = False
        metrics = scalars(trainer.callback_metrics)
        example = model_input(module, self.batch)
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by fit
        metrics |= self.measuring.after(trainer.current_epoch, module, data, example)
        metrics = trainer.strategy.broadcast(metrics)  # of several ranks the first one's count
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
        stop = self.reports.add(step, self.last, module)
        self.reports.pruned = trainer.strategy.broadcast(stop)
        trainer.should_stop |= self.reports.pruned


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


def train_module(job: Job, reports: Reports, watch: EarlyStopping) -> Result:
    """Train a LightningModule, on fractions of its batches first where the job says so."""
    reporter = _Reporter(reports, Measuring(job), len(job.data_fractions))
    seconds = 0.0
    for index, fraction in enumerate([*job.data_fractions, 1.0]):
        reports.best = None  # the best epoch is one of the whole training
        result = _train(job, reporter, [] if index else [watch], fraction)
        seconds += result.seconds
        if reports.pruned:
            return replace(result, state="pruned", reason="pruned", seconds=seconds)
    return replace(result, seconds=seconds)


def _train(
    job: Job, reporter: _Reporter, callbacks: list[L.Callback], fraction: float = 1.0
) -> Result:
    """Train once, on a fraction of the batches of each epoch."""
    reports = reporter.reports
    with tempfile.TemporaryDirectory(prefix="actsearch-") as scratch:  # for a user's own files
        module, data, trainer = built(job, fraction, scratch)
        check_ranks(trainer)
        trainer.callbacks += [*callbacks, reporter]
        start = time.perf_counter()
        with noting_calls(module, job.kind == "inspect") as called:
            trainer.fit(module, datamodule=data)
        last = reports.history[-1][1] if reports.history else scalars(trainer.callback_metrics)
        metrics = reports.settle(last, module)
        example = model_input(module, reporter.batch)
        if job.kind == "inspect":
            measured = reporter.measuring.unlogged(metrics, module, data, example)
            seen = Seen(reporter.batch, called, trainer.train_dataloader)
            known = {
                "has_test": has_test(module),
                "restores_best": restores_best(trainer),
                "origin": _origin(module, data, trainer, job),
            }
            info = inspect_model(module, example, job, seen, measured, **known)
            return Result("complete", metrics=metrics, model_info=info)
        require(metrics, job.objectives, type(module).__name__)
        seconds = time.perf_counter() - start
        rows: dict[str, list[float]] = {}
        if job.kind == "confirm" and not reports.pruned:
            metrics, rows = confirmed(reporter.measuring, metrics, module, data, trainer, example)
        else:
            metrics = metrics | reporter.measuring.values("end", module, data, example)
        if job.folder and fraction == 1:
            keep(module, Path(job.folder), job.pictures)
    return Result("complete", metrics=metrics, rows=rows, seconds=seconds)


def _origin(module: Any, data: Any, trainer: Any, job: Job) -> Origin:
    """Return the code, data and versions behind a training."""
    loaders = {"training": trainer.train_dataloader, "validation": trainer.val_dataloaders}
    things = (type(module), None if data is None else type(data))
    return origin(things, loaders, functools.partial(seed, job.seed))


def built(job: Job, fraction: float, scratch: str) -> tuple[Any, Any, Any]:
    """Return a job's module with its placement, its data module and its trainer, ready to train.

    Args:
        job: what is trained.
        fraction: of the batches of each epoch.
        scratch: folder for what the training writes.
    """
    seed(job.seed)
    target = Target.resolve(job.task, job.data)
    module, data, trainer = target.build(_config(job, fraction, scratch))
    if job.placement is not None:
        place(module, job.placement, lambda: example_input(module, data, trainer), job)
    _own_optimiser_group(module, job)
    # The same batches and dropout, whatever the activations drew while they were built.
    seed(job.seed)
    return module, data, trainer


def _config(job: Job, fraction: float, scratch: str) -> dict[str, Any]:
    """Return the options of one training: the study's, and what this training has of its own."""
    config = job.config
    trainer = {"default_root_dir": scratch, **plain_ddp(config["trainer"])}
    if job.kind == "inspect":
        trainer |= {
            "max_epochs": 1,
            "limit_train_batches": 1,
            "limit_val_batches": 1,
            "check_val_every_n_epoch": 1,
            "val_check_interval": 1.0,
        }
    if fraction < 1:
        given = trainer.get("limit_train_batches") or 1.0
        trainer["limit_train_batches"] = (
            max(1, round(given * fraction)) if isinstance(given, int) else given * fraction
        )
    config = {**config, "trainer": trainer}
    if job.split is not None:
        option, value = job.split
        part, _, name = option.partition(".")
        config = {**config, part: {**config[part], name: value}}
    return config


def place(
    module: nn.Module,
    placement: Placement,
    example: Callable[[], Any],
    job: Job,
) -> None:
    """Apply a placement as the job asks for it.

    Args:
        module: a fresh model.
        placement: what stands where.
        example: returns an input of the model, where one is needed.
        job: of the training.
    """
    with warnings.catch_warnings():
        # A candidate that changes nothing is trained like any other.
        warnings.simplefilter("ignore", ActsearchWarning)
        placement.apply(module, example() if job.example else None, force=job.force)
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


def _own_optimiser_group(module: Any, job: Job) -> None:
    """Let the module's ``configure_optimizers`` build its optimisers at the job's learning rate.

    The parameters of activations are set apart.
    """
    own = vars(module).get("configure_optimizers")  # where it was set on the module, not its class
    # No closure: a strategy that spawns processes pickles the module.
    given = module, own, job.learning_rate_factor
    module.configure_optimizers = functools.partial(_configure_optimisers, *given)


def _configure_optimisers(module: Any, own: Any, factor: float) -> Any:
    with own_group(module, overall=factor):
        return own() if own is not None else type(module).configure_optimizers(module)


def confirmed(
    measuring: Measuring,
    metrics: dict[str, float],
    module: Any,
    data: Any,
    trainer: Any,
    example: Any,
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return the metrics of a training with those of the test split, and the latter by rows."""
    tested, rows = _test(module, data, trainer)
    part: Part = "test" if tested else "val"
    metrics = metrics | tested
    metrics |= measuring.values("confirm", module, data, example, part)
    return metrics | measuring.values("end", module, data, example, part), rows


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
    found = rows.found if trainer.world_size == 1 else {}  # each rank has seen a part
    return {name: float(value) for result in results for name, value in result.items()}, found


def keep(module: nn.Module, folder: Path, pictures: bool) -> None:
    """Write the weights, whole or not at all, and the task's pictures."""
    from safetensors.torch import save_model

    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".weights.{secrets.token_hex(6)}"
    temporary.touch()
    mode = temporary.stat().st_mode  # the umask's; safetensors lets nobody else read
    save_model(module, str(temporary))
    temporary.chmod(mode)
    temporary.replace(folder / WEIGHTS)
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
