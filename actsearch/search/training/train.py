"""One job, wherever it runs: one training or several of one placement, and what came of them."""

from __future__ import annotations

import logging
import os
import statistics
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from torch.multiprocessing.spawn import ProcessRaisedException

from actsearch.errors import ActsearchError
from actsearch.search.training.early_stopping import EarlyStopping, StoppedError
from actsearch.search.training.fit import train_module
from actsearch.search.training.job import Job, Report, Result
from actsearch.search.training.plain import train_loop
from actsearch.search.training.reports import DivergedError, Reports
from actsearch.search.training.seeds import derive
from actsearch.search.training.stacked.checks import NotStackableError
from actsearch.search.training.stacked.compare import why_one_by_one
from actsearch.search.training.stacked.follow import SeedGroup
from actsearch.search.training.stacked.train import train_stacked


def run_job(job: Job, report: Report) -> Result:
    """Run one job, and those that are trained as one network with it.

    Args:
        job: what to train.
        report: called after each epoch of the job's first training, or of all its seeds with their
            mean; answers whether to stop.

    Returns:
        What came of it, averaged over the trainings; failures of a training are a result, not an
        exception.
    """
    quiet()
    before = _processor_time()
    jobs = [replace(job, further=[]), *job.further]
    ended, reason = [], ""
    if len(jobs) > 1 or (job.stacked and job.repeats > 1):
        try:
            ended = _run_stacked(jobs, report)
        except NotStackableError as error:
            reason = str(error)
    if not ended and len(jobs) == 1:
        ended = [_run_one_by_one(_seeds(job), report)]
    first, *further = ended or [Result("failed", f"one by one: {reason}")]
    if first.model_info is not None:
        # What computes for long gains nothing by standing beside others.
        small = first.model_info.small
        why = why_one_by_one(job) if small else "its steps are long"
        first = replace(first, model_info=replace(first.model_info, one_by_one=why))
    cpu = (_processor_time() - before) / len(jobs)
    further = [replace(result, cpu=cpu) for result in further]
    return replace(first, cpu=cpu, one_by_one=reason, further=further)


def _seeds(job: Job) -> list[Job]:
    """Return a job's trainings, each with a seed of its own."""
    seeds = (derive(job.seed, "repeat", index) for index in range(1, job.repeats))
    return [job, *(replace(job, seed=seed, folder="") for seed in seeds)]


def _run_stacked(jobs: Sequence[Job], report: Report) -> list[Result]:
    """Run jobs as one network, each with its seeds, and return what came of each.

    It is one result where that ended with an error.

    Raises:
        NotStackableError: they have to run one by one.
    """
    reports = [report, *(_go_on for _ in jobs[1:])]
    groups = [SeedGroup(_seeds(job), own) for job, own in zip(jobs, reports, strict=True)]
    start = time.perf_counter()
    try:
        train_stacked(groups)
    except NotStackableError:
        raise
    except (Exception, SystemExit) as error:
        # Of several jobs one may be to blame, which shows where each runs alone.
        seconds = time.perf_counter() - start
        return [_ended_by(error, groups[0].reports, groups[0].watch, seconds)]
    return list(map(_of_group, groups))


def _of_group(group: SeedGroup) -> Result:
    """Return what came of a job that was trained beside others."""
    if group.error is not None:
        return _ended_by(group.error, group.reports, group.watch, group.seconds)
    if group.reports.pruned:
        history = group.reports.history
        found = Result("pruned", "pruned", history=history, seconds=group.seconds)
    else:
        found = _averaged(group.results, group.jobs[0].objectives)
    return replace(found, first_steps=group.watch.found)


def _run_one_by_one(jobs: Sequence[Job], report: Report) -> Result:
    """Run trainings of which the mean counts, until one of them ends badly."""
    ended = [_run(jobs[0], report)]
    for job in jobs[1:]:
        if ended[-1].state == "complete":
            ended.append(_run(job, _go_on))
    return _averaged(ended, jobs[0].objectives)


def _go_on(epoch: int, metrics: dict[str, float]) -> bool:
    return False


def _run(job: Job, report: Report) -> Result:
    """Run one training."""
    train = train_loop if job.model else train_module
    reports, watch = Reports(job, report), EarlyStopping(job.baseline)
    start = time.perf_counter()
    try:
        result = train(job, reports, watch)
    except (Exception, SystemExit) as error:
        return _ended_by(error, reports, watch, time.perf_counter() - start)
    return replace(result, history=reports.history, first_steps=watch.found)


def _ended_by(
    error: BaseException, reports: Reports, watch: EarlyStopping, seconds: float
) -> Result:
    """Return how a training ended that raised.

    Raises:
        KeyboardInterrupt: the user has stopped it.
    """
    if isinstance(error.__context__, KeyboardInterrupt):
        raise KeyboardInterrupt from None  # Lightning turns Ctrl-C into sys.exit(1)
    if isinstance(error, StoppedError):
        found = Result("pruned", f"stopped: {error}", first_steps=watch.found)
    else:
        found = Result("failed", reason_of(error))
    return replace(found, history=reports.history, seconds=seconds)


def _averaged(ended: Sequence[Result], objectives: Sequence[str]) -> Result:
    """Return the first training with metrics and history averaged over all, and what each came to.

    One that did not end well stands for all.
    """
    seconds = sum(result.seconds for result in ended)
    for result in ended:
        if result.state != "complete":
            return replace(result, seconds=seconds)
    if len(ended) == 1:
        return ended[0]
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


def reason_of(error: BaseException) -> str:
    """Return why a training failed: a word that can be counted, and the message."""
    try:
        text = " ".join(str(error).split())[:500]
    except Exception:  # of a user's own class
        text = "its message cannot be made"
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
    return f"error: {type(error).__name__}{': ' * bool(text)}{text}{where}"
