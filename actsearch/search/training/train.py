"""One job, wherever it runs: one training or several of one placement, and what came of them."""

from __future__ import annotations

import functools
import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch.multiprocessing.spawn import ProcessRaisedException

from actsearch.errors import ActsearchError
from actsearch.search.training.early_stopping import EarlyStopping, StoppedError
from actsearch.search.training.fit import train_module
from actsearch.search.training.fit_stacked import train_stacked
from actsearch.search.training.job import Job, Report, Result
from actsearch.search.training.plain import train_loop
from actsearch.search.training.reports import DivergedError, Reports
from actsearch.search.training.seeds import derive
from actsearch.search.training.stacked import NotStackableError

Train = Callable[[Reports, EarlyStopping], Result]


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
    jobs = [job]
    for index in range(1, job.repeats):
        jobs.append(replace(job, seed=derive(job.seed, "repeat", index), folder=""))
    result = _run_several(jobs, report) if len(jobs) > 1 else _run(job, report)
    return replace(result, cpu=_processor_time() - before)


def _run_several(jobs: Sequence[Job], report: Report) -> Result:
    """Run trainings that differ in their seeds as one, or else one by one until one ends badly."""

    def train(reports: Reports, watch: EarlyStopping) -> Result:
        return _averaged(train_stacked(jobs, reports, watch))

    reason = ""
    try:
        if jobs[0].stacked:
            return _ended(train, jobs[0], report)
    except NotStackableError as error:
        reason = str(error)
    ended = [_run(jobs[0], report)]
    for job in jobs[1:]:
        if ended[-1].state == "complete":
            ended.append(_run(job, lambda *_: False))
    return replace(_averaged(ended), one_by_one=reason)


def _run(job: Job, report: Report) -> Result:
    """Run one training."""
    train = train_loop if job.model else train_module
    return _ended(functools.partial(train, job), job, report)


def _ended(train: Train, job: Job, report: Report) -> Result:
    """Return how a training ended, whatever it raised.

    Raises:
        NotStackableError: several trainings that have to run one by one.
    """
    reports = Reports(job, report)
    watch = EarlyStopping(job.baseline)
    start = time.perf_counter()
    try:
        result = train(reports, watch)
        return replace(result, history=reports.history, first_steps=watch.found)
    except NotStackableError:
        raise
    except StoppedError as stop:
        seconds = time.perf_counter() - start
        return Result(
            "pruned",
            f"stopped: {stop}",
            history=reports.history,
            seconds=seconds,
            first_steps=watch.found,
        )
    except (Exception, SystemExit) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None  # Lightning turns Ctrl-C into sys.exit(1)
        return Result(
            "failed", _reason(error), history=reports.history, seconds=time.perf_counter() - start
        )


def _averaged(ended: Sequence[Result]) -> Result:
    """Return the first training with the metrics averaged over all.

    One that did not end well stands for all.
    """
    *_, last = ended
    seconds = sum(result.seconds for result in ended)
    if last.state != "complete":
        return replace(last, seconds=seconds)
    metrics = {
        name: sum(result.metrics[name] for result in ended) / len(ended)
        for name in ended[0].metrics
        if all(name in result.metrics for result in ended)
    }
    return replace(ended[0], metrics=metrics, seconds=seconds)


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
