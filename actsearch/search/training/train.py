"""One trial, wherever it runs: one training or several of one placement, and what came of them."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace

from torch.multiprocessing.spawn import ProcessRaisedException

from actsearch.errors import ActsearchError
from actsearch.search.training.first_steps import FirstSteps, StoppedError
from actsearch.search.training.fit import train_module
from actsearch.search.training.job import Outcome, Report, Specification
from actsearch.search.training.plain import train_loop
from actsearch.search.training.reports import DivergedError, Reports
from actsearch.search.training.seeds import derive


def run_trial(specification: Specification, report: Report) -> Outcome:
    """Run one trial.

    Args:
        specification: what to train.
        report: called after each epoch of the first training; answers whether to stop.

    Returns:
        What came of it, averaged over the trainings; failures of a training are an outcome, not an
        exception.
    """
    quiet()
    before = _processor_time()
    ended: list[Outcome] = []
    for index in range(specification.repeats):
        one = specification
        if index:
            one = replace(
                specification, seed=derive(specification.seed, "repeat", index), folder=""
            )
        ended.append(_run(one, report if not index else lambda *_: False))
        if ended[-1].state != "complete":
            break
    return replace(_averaged(ended), cpu=_processor_time() - before)


def _run(specification: Specification, report: Report) -> Outcome:
    """Run one training."""
    reports = Reports(specification, report)
    watch = FirstSteps(specification.watch)
    train = train_loop if specification.model else train_module
    start = time.perf_counter()
    try:
        outcome = train(specification, reports, watch)
        return replace(outcome, history=reports.history, first_steps=watch.found)
    except StoppedError as stop:
        seconds = time.perf_counter() - start
        return Outcome(
            "pruned",
            f"stopped: {stop}",
            history=reports.history,
            seconds=seconds,
            first_steps=watch.found,
        )
    except (Exception, SystemExit) as error:
        if isinstance(
            error.__context__, KeyboardInterrupt
        ):  # Lightning turns Ctrl-C into sys.exit(1)
            raise KeyboardInterrupt from None
        return Outcome(
            "failed", _reason(error), history=reports.history, seconds=time.perf_counter() - start
        )


def _averaged(ended: Sequence[Outcome]) -> Outcome:
    """Return the first training with the metrics averaged over all.

    One that did not end well stands for all.
    """
    *_, last = ended
    seconds = sum(outcome.seconds for outcome in ended)
    if last.state != "complete":
        return replace(last, seconds=seconds)
    metrics = {
        name: sum(outcome.metrics[name] for outcome in ended) / len(ended)
        for name in ended[0].metrics
        if all(name in outcome.metrics for outcome in ended)
    }
    return replace(ended[0], metrics=metrics, seconds=seconds)


def _processor_time() -> float:
    """Return the processor time of this process and of those that it started and that ended, in seconds."""
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
