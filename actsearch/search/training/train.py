"""One job, wherever it runs: one training or several of one placement, and what came of them."""

from __future__ import annotations

import logging
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from torch.multiprocessing.spawn import ProcessRaisedException

from actsearch.errors import ActsearchError
from actsearch.search.training.early_stopping import EarlyStopping, StoppedError
from actsearch.search.training.fit import train_module
from actsearch.search.training.fit_stacked import train_stacked, why_one_by_one
from actsearch.search.training.job import Job, Report, Result
from actsearch.search.training.plain import train_loop
from actsearch.search.training.reports import DivergedError, Reports
from actsearch.search.training.seeds import derive
from actsearch.search.training.stacked import NotStackableError

Train = Callable[[Reports, EarlyStopping], list[Result]]


def run_job(job: Job, report: Report) -> Result:
    """Run one job.

    Args:
        job: what to train.
        report: called after each epoch of the first training; answers whether to stop.

    Returns:
        What came of it, averaged over the trainings; failures of a training are a result, not an
        exception.
    """
    quiet()
    before = _processor_time()
    if job.further:
        others = [replace(job, seed=s, split=split, folder="") for s, split in job.further]
        first, *rest = _stacked([job, *others], report)
        result = replace(first, further=rest)
    elif job.repeats > 1:
        seeds = (derive(job.seed, "repeat", index) for index in range(1, job.repeats))
        result = _repeated([job, *(replace(job, seed=s, folder="") for s in seeds)], report)
    else:
        result = _run(job, report)
    if result.model_info is not None:
        # What computes for long gains nothing by standing beside others.
        small = result.model_info.small
        reason = why_one_by_one(job) if small else "its steps are long"
        result = replace(result, model_info=replace(result.model_info, one_by_one=reason))
    return replace(result, cpu=_processor_time() - before)


def _repeated(jobs: Sequence[Job], report: Report) -> Result:
    """Run trainings of which the mean counts, as one network, or until one of them ends badly."""
    reason = ""
    if jobs[0].stacked:
        together = _stacked(jobs, report)
        if not (reason := together[0].one_by_one):
            return _averaged(together, jobs[0].objectives)
    ended = [_run(jobs[0], report)]
    for job in jobs[1:]:
        if ended[-1].state == "complete":
            ended.append(_run(job, lambda *_: False))
    return replace(_averaged(ended, jobs[0].objectives), one_by_one=reason)


def _stacked(jobs: Sequence[Job], report: Report) -> list[Result]:
    """Run trainings as one network: a result of each, or one that all of them ended with."""
    try:
        return _ended(lambda *given: train_stacked(jobs, *given), jobs[0], report)
    except NotStackableError as error:
        return [Result("failed", f"one by one: {error}", one_by_one=str(error))]


def _run(job: Job, report: Report) -> Result:
    """Run one training."""
    train = train_loop if job.model else train_module
    (result,) = _ended(lambda *given: [train(job, *given)], job, report)
    return result


def _ended(train: Train, job: Job, report: Report) -> list[Result]:
    """Return how trainings ended, whatever they raised; one result where it was that of all.

    Raises:
        NotStackableError: several trainings that have to run one by one.
    """
    reports = Reports(job, report)
    watch = EarlyStopping(job.baseline)
    start = time.perf_counter()
    try:
        first, *others = train(reports, watch)
        history = first.history or reports.history
        return [replace(first, history=history, first_steps=watch.found), *others]
    except NotStackableError:
        raise
    except StoppedError as stop:
        seconds = time.perf_counter() - start
        stopped = Result(
            "pruned",
            f"stopped: {stop}",
            history=reports.history,
            seconds=seconds,
            first_steps=watch.found,
        )
        return [stopped]
    except (Exception, SystemExit) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None  # Lightning turns Ctrl-C into sys.exit(1)
        seconds = time.perf_counter() - start
        return [Result("failed", _reason(error), history=reports.history, seconds=seconds)]


def _averaged(ended: Sequence[Result], objectives: Sequence[str]) -> Result:
    """Return the first training with metrics and history averaged over all, and what each came to.

    One that did not end well stands for all.
    """
    seconds = sum(result.seconds for result in ended)
    for result in ended:
        if result.state != "complete":
            return replace(result, seconds=seconds)
    values = _beside(result.metrics for result in ended)
    # Epoch by epoch, as far as all have come.
    epochs = [
        (steps[0][0], _beside(metrics for _, metrics in steps))
        for steps in zip(*(result.history for result in ended), strict=False)
    ]
    curves = {
        name: [list(one) for one in zip(*(found[name] for _, found in epochs), strict=True)]
        for name in objectives
        if epochs and all(name in found for _, found in epochs)
    }
    return replace(
        ended[0],
        metrics=_means(values),
        history=[(step, _means(found)) for step, found in epochs],
        spread={name: statistics.stdev(each) for name, each in values.items()},
        curves=curves,
        seconds=seconds,
    )


def _beside(found: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return the values of what all have, by metric."""
    each = list(found)
    return {name: [one[name] for one in each] for name in each[0] if all(name in o for o in each)}


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.fmean(each) for name, each in values.items()}


def _processor_time() -> float:
    """Return the processor time in seconds of this process and of those it started that ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def quiet() -> None:
    """Keep Lightning's banners and hints for long runs out of a search of short ones."""
    for name in (
        "lightning",
        "lightning.pytorch",
        "lightning.fabric",
        "pytorch_lightning",
        "lightning_fabric",
    ):
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
    if (
        isinstance(error, MemoryError)
        or "out of memory" in text.lower()
        or "can't allocate memory" in text.lower()
    ):
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
