"""``actsearch measure STUDY``: measures of the best placement of a study, or of one from a file."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from actsearch.cli.options import take
from actsearch.errors import ActsearchError, InvalidValueError, StudyError, TaskError

if TYPE_CHECKING:
    from actsearch.measures import Fitted, Measure
    from actsearch.measures.loaders import Part
    from actsearch.search.training.job import Job
    from actsearch.search.training.target import Target

MEASURE_USAGE = """usage: actsearch measure STUDY [NAME ...] [options]
       actsearch measure best.json --task TASK [NAME ...] [options]

Compute measures of a trained placement: those named, else all that the model can have.
A study's weights are taken where they were kept; otherwise the placement is trained once.
`actsearch measures` lists the names; an own measure is named by package.module.Class.

options:
  --task TASK            what is trained, with a file; its options: --task.NAME, --trainer.NAME
  --data CLASS           its LightningDataModule; its options: --data.NAME
  --measure.NAME.OPTION  an option of a measure, such as --measure.certified_accuracy.radius 0.1
  --pictures FOLDER      writes the measures' pictures there
  --part val|test        the split that is measured (default: val)
  --seed SEED            seed of the training, with a file (default: 0)
  --store STORE          folder of the studies (default: mlruns)"""


def run(arguments: list[str]) -> int:
    """Run the command."""
    if not arguments or {"-h", "--help"}.intersection(arguments):
        print(MEASURE_USAGE)
        return 0 if arguments else 2
    words = [*arguments, "--"]
    first = next(i for i, word in enumerate(words) if word.startswith("-"))
    (what, *names), rest = words[:first] or [""], arguments[first:]
    if not what:
        raise InvalidValueError(
            f"a study or a file must come first, but got {arguments[0]!r}. Write: actsearch"
            " measure STUDY [NAME ...] [options]."
        )
    task, rest = take("--task", rest)
    data, rest = take("--data", rest)
    file = what.startswith("runs:/") or what.endswith(".json")
    if file and not task:
        raise InvalidValueError(
            f"a placement file must come with --task, but got {what!r} alone. Add what to train,"
            " such as --task classification."
        )
    if task and not file:
        raise InvalidValueError(
            f"a study knows what it trains, but got {what!r} with --task {task}. Leave it out, or"
            " give a placement file."
        )

    from actsearch.measures import Fitted, build, find, possible
    from actsearch.search.training.target import Target, option_error
    from actsearch.search.training.train import quiet

    quiet()
    classes = [find(name) for name in names]
    target = Target.resolve(task, data) if file else None
    parser = _parser(classes, target)
    try:
        options = parser.parse_args(rest)
    except ArgumentError as error:
        raise InvalidValueError(option_error(error, parser)) from None
    given = options.get("measure", {})
    measures = [build(cls, dict(vars(given.get(cls.name, Namespace())))) for cls in classes]
    if target is not None:
        job, weights = _of_file(what, task, data, target.freeze(options), options.seed), None
    else:
        job, weights = _of_study(what, options.store)
    fitted = _fitted(job, weights, options.part, measures)
    if options.pictures:
        fitted.start = Fitted(*_built(job, options.part), part=options.part, name=job.task)
    measures = measures or [build(name) for name in possible(fitted)]
    _print(what, {key: v for measure in measures for key, v in measure.values(fitted).items()})
    if options.pictures:
        _draw(measures, fitted, Path(options.pictures))
    return 0


def _parser(measures: Sequence[type[Measure]], target: Target | None) -> ArgumentParser:
    parser = ArgumentParser(prog="actsearch measure", exit_on_error=False)
    parser.add_argument("--part", choices=["val", "test"], default="val")
    parser.add_argument("--pictures", type=str, default="")
    for cls in measures:
        parser.add_class_arguments(cls, f"measure.{cls.name}", fail_untyped=False)
    if target is None:
        parser.add_argument("--store", type=str, default="mlruns")
    else:
        parser.add_argument("--seed", type=int, default=0)
        target.add_options(parser)
    return parser


def _of_file(file: str, task: str, data: str, config: dict[str, Any], seed: int) -> Job:
    """Return the training of a placement file."""
    from actsearch.placement import Placement
    from actsearch.search.training.job import Job

    placement = Placement.load(file)
    return Job(
        task,
        config,
        [],
        data=data,
        placement=placement,
        seed=seed,
        learning_rate_factor=placement.learning_rate_factor,
    )


def _of_study(name: str, store: str) -> tuple[Job, Path | None]:
    """Return the training of a study's best placement, and its weights where they were kept.

    Raises:
        StudyError: nothing was found yet, or the study trains by a function.
    """
    from actsearch.placement import Placement
    from actsearch.search.study.placement_file import placement_file
    from actsearch.search.study.record import StudyRun
    from actsearch.search.study.store import Store

    study = StudyRun.load(Store(store), name)
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
    placement = Placement.load(file)
    folder = study.folder / "trials" / f"{placement.found['trial']:05d}"
    weights = folder / "weights.safetensors"
    job = study.job(placement, learning_rate_factor=placement.learning_rate_factor)
    return replace(job, measures={}, objectives=[]), weights if weights.exists() else None


def _fitted(job: Job, weights: Path | None, part: Part, measures: Sequence[Measure]) -> Fitted:
    """Return the trained module, which can have these measures."""
    from actsearch.measures import Fitted, check
    from actsearch.search.training.train import run_job

    with tempfile.TemporaryDirectory(prefix="actsearch-") as scratch:
        if weights is None:
            if measures:  # what cannot be had is told before the training
                check(Fitted(*_built(job, part), part=part, name=job.task), measures)
            print("training once", file=sys.stderr)
            result = run_job(replace(job, folder=scratch), lambda *_: False)
            if result.state != "complete":
                raise TaskError(
                    f"the training must end well to be measured, but it {result.state}:"
                    f" {result.reason}"
                )
            weights = Path(scratch) / "weights.safetensors"
        fitted = Fitted(*_built(job, part, weights), part=part, name=job.task)
    check(fitted, measures)
    return fitted


def _draw(measures: Sequence[Measure], fitted: Fitted, folder: Path) -> None:
    """Write the pictures of measures into a folder."""
    from actsearch.measures.undisturbed import undisturbed

    folder.mkdir(parents=True, exist_ok=True)
    for measure in measures:
        with undisturbed(fitted.module):
            measure.pictures(fitted, folder)
    print(f"pictures: {folder}")


def _built(job: Job, part: Part, weights: Path | None = None) -> tuple[Any, Any]:
    """Return the module of a job with its placement, and its data module, ready to be measured.

    Raises:
        TaskError: it cannot be built again, or its data cannot be set up without a trainer.
    """
    from safetensors.torch import load_model

    from actsearch.search.training.fit import place, seed
    from actsearch.search.training.inspect_model import example_input
    from actsearch.search.training.target import Target

    try:
        seed(job.seed)
        module, data, trainer = Target.resolve(job.task, job.data).build(job.config)
        assert job.placement is not None, "what is measured has a placement"
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


def _print(title: str, values: dict[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("measure", overflow="fold")
    table.add_column("value", justify="right")
    for name, value in values.items():
        table.add_row(name, f"{value:.6g}")
    Console(width=None if sys.stdout.isatty() else 200).print(table)
