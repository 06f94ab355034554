"""``actsearch search TASK --dry-run``: what would be searched, and how long it would take."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import optuna

from actsearch.errors import TaskError, printable
from actsearch.run import make_executor
from actsearch.run_options import RunOptions
from actsearch.search.confirm.confirm import DESCRIBED
from actsearch.search.executors.executor import Executor
from actsearch.search.loop.phases import LADDER
from actsearch.search.loop.survey import survey
from actsearch.search.space.choices import BoundSpace
from actsearch.search.space.settings import Choices, Range
from actsearch.search.study.config import StudyConfig
from actsearch.search.study.record import StudyRun
from actsearch.search.study.resolve import study_config
from actsearch.search.study.store import Store
from actsearch.search.training.job import ModelInfo, Result
from actsearch.tracking.header import header

ENOUGH = 10.0
"""Seconds of training that tell how long an epoch takes."""

MOST_OF_AN_EPOCH = 60.0
"""Seconds that the first epoch may take to be measured."""


def dry_run(task: str, options: Mapping[str, Any]) -> None:
    """Print what a search would do; nothing is written.

    Args:
        task: what is trained.
        options: of :func:`actsearch.run.run_search`.

    Raises:
        ActsearchError: bad input, as the search itself would say it.
    """
    rest = dict(options)
    how = RunOptions(**{one.name: rest.pop(one.name) for one in fields(RunOptions)})
    with make_executor(how.executor, replace(how, trial_timeout=MOST_OF_AN_EPOCH)) as engine:
        config = study_config(task, rest.pop("space"), **rest)
        info = survey(config, engine)
        name = how.study or f"{config.task.rpartition('.')[2]}-{Path(config.space).stem}"
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study()  # in memory
        run = StudyRun(name, Store(how.store, how.record), config, study, info)
        for line in header(run, how.trials):
            print(printable(line))
        print(f"{'space':<8} {_size(run.space)}")
        each = _seconds_of_a_trial(config, info, engine)
    seeds, most = config.seeds_each(info), _confirmation(how, config)
    trainings = f"{how.trials * seeds} of the search, {most} at most of the confirmation"
    print(f"{'trains':<8} {trainings}")
    print(f"{'takes':<8} {_duration(each, how.trials + most / seeds, how.jobs)}")
    print("Nothing was written.")


def _size(space: BoundSpace) -> str:
    """Return how many placements a space has, and how many numbers there are beside."""
    size, numbers = 1, 0
    for choice in space.choices:
        ways = 0
        for candidate in choice.candidates:
            settings = candidate.settings.values()
            ways += math.prod(len(s.choices) for s in settings if isinstance(s, Choices))
            numbers += sum(isinstance(s, Range) for s in settings)
        size *= ways
    shown = f"{size:,}" if size < 10**6 else f"about 10^{math.log10(size):.0f}"
    return f"{shown} placements" + (f", and {numbers} numbers from ranges" if numbers else "")


def _confirmation(how: RunOptions, config: StudyConfig) -> int:
    """Return how many trainings a confirmation takes at most."""
    race = (how.confirm + 1) * how.seeds if how.confirm else 0
    tuned = config.learning_rate != "fixed" and how.trials >= LADDER
    return race + race // 2 + DESCRIBED if race and tuned else race


def _seconds_of_a_trial(config: StudyConfig, info: ModelInfo, engine: Executor) -> float | None:
    """Train the model as it is for some seconds, and return what a whole trial takes.

    ``None`` where not even an epoch ends in time.

    Raises:
        TaskError: it does not train.
    """
    start, epochs = time.monotonic(), info.max_epochs or 1
    ends: list[float] = []

    def enough(key: int, step: int, metrics: dict[str, float]) -> bool:
        ends.append(time.monotonic() - start)
        return ends[-1] > ENOUGH

    engine.submit(0, config.job(None, info=info, repeats=config.seeds_each(info)))
    ended: list[tuple[int, Result]] = []
    while not ended:
        ended = engine.wait(enough)
    result = ended[0][1]
    if result.state == "complete":
        return time.monotonic() - start
    if not ends and not result.reason.startswith("timeout"):
        raise TaskError(f"{config.task} cannot be trained: {result.reason.rstrip('.')}.")
    if not ends:
        return None
    each = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else ends[0]
    return ends[0] + each * (epochs - 1)


def _duration(each: float | None, trials: float, jobs: int) -> str:
    if each is None:
        return f"not known: an epoch takes more than {MOST_OF_AN_EPOCH:.0f} s"
    whole = each * trials / jobs
    shown = f"{whole:.0f} s" if whole < 120 else f"{whole / 60:.0f} min"
    if whole > 7200:
        shown = f"{whole / 3600:.1f} h"
    return (
        f"about {shown} if all train to the end, by {each:.1f} s a trial with --jobs {jobs}; pruned"
        " ones take less"
    )
