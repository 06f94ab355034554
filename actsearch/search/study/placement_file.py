"""The placement file that a study hands back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from actsearch.placement import Placement
from actsearch.search.study.kept_files import BEST as BEST
from actsearch.search.study.kept_files import CANDIDATE as CANDIDATE
from actsearch.search.study.kept_files import drop_file, keep_file
from actsearch.search.study.record import StudyRun


def write_best(run: StudyRun, placement: Placement, found: dict[str, Any], factor: float) -> Path:
    """Write a study's placement file with where it comes from.

    It is ``best.json`` for a winner, else ``candidate.json``.

    Args:
        run: the study.
        placement: what stands where.
        found: what is known of it; it is a winner where ``significant`` is true.
        factor: on the learning rate that it was trained with.
    """
    from importlib.metadata import version

    versions = {package: version(package) for package in ("actsearch", "torch")}
    origin = {
        "study": run.name,
        "task": run.config.task,
        **found,
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions,
    }
    name, other = (BEST, CANDIDATE) if found["significant"] else (CANDIDATE, BEST)
    told = placement.model_copy(update={"found": origin, "learning_rate_factor": factor})
    path = keep_file(run, name, told.dumps())
    drop_file(run, other)
    return path


def write_unconfirmed(run: StudyRun) -> None:
    """Write the best of a search that is not confirmed; a confirmed one stays."""
    trial = run.candidates(1)[0]
    placement = run.placement(trial)
    assert placement is not None
    first = run.config.goals[0]
    assert run.baseline is not None, "a search without a baseline ends before this"
    gain = (trial.values[0] - run.baseline.values[0]) * (1 if first.mode == "max" else -1)
    found = {
        "trial": trial.number,
        "metric": first.metric,
        "gain": significant_digits(gain),
        "seeds_per_trial": run.config.seeds_each(run.model_info),
        "significant": None,
    }
    file = placement_file(run)
    confirmed = file is not None and Placement.load(file).found.get("significant") is not None
    if not confirmed:
        write_best(run, placement, found, run.factor(trial))


def significant_digits(number: float) -> float:
    """Return a number to six significant digits, more than any seed repeats.

    >>> significant_digits(-0.0149721347)
    -0.0149721
    """
    return float(f"{number:.6g}")


def placement_file(run: StudyRun) -> Path | None:
    """Return a study's placement file: the winner's, else the candidate's.

    ``None`` where nothing was found yet.
    """
    return next((path for name in (BEST, CANDIDATE) if (path := run.folder / name).exists()), None)
