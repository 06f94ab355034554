"""What a list of studies says of each, read from record and files without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from actsearch.search.study.pareto import knee
from actsearch.search.study.store import Store
from actsearch.search.study.trials import ATTRIBUTE, RESULT, counts, is_spared

StudyState = Literal["running", "stopped", "finished", "confirmed", "not of actsearch"]


@dataclass(frozen=True)
class Overview:
    """One study in a list.

    Args:
        name: of the study.
        task: what it trains.
        begun: when its first trial began.
        trials: how many were trained, of those that were asked for.
        state: ``running``; ``stopped``, and the same command goes on; ``finished``; ``confirmed``.
        metric: the first objective.
        best: its best value in the search.
        gain: of what was confirmed, over the baseline.
        verdict: of the confirmation.
    """

    name: str
    task: str
    begun: datetime | None
    trials: int
    state: StudyState
    metric: str = ""
    best: float | None = None
    gain: float | None = None
    verdict: str = ""


def overviews(store: Store) -> list[Overview]:
    """Return the studies of a store, the one that began last first."""
    found = [_overview(store, name) for name in store.names()]
    return sorted(found, key=lambda one: one.begun or datetime.min, reverse=True)


def _overview(store: Store, name: str) -> Overview:
    study = store.load(name)
    with store.guarded():
        text, directions = study.user_attrs.get(ATTRIBUTE), study.directions
        trials = study.get_trials(deepcopy=False)
    begun = min((t.datetime_start for t in trials if t.datetime_start), default=None)
    done = sum(t.state.is_finished() and counts(t) for t in trials)
    if text is None:
        return Overview(name, "", begun, done, "not of actsearch")
    options = json.loads(text)
    goal = options["objectives"][0]
    metric = goal["metric"] if isinstance(goal, dict) else goal.rpartition(":")[0]
    told = [t for t in trials if t.state == TrialState.COMPLETE and not is_spared(t)]
    feasible = [t for t in told if not t.user_attrs.get(RESULT, {}).get("violated")]
    found = _found(store.folder(name))
    confirmed = found.get("significant") is not None
    return Overview(
        name,
        options["task"],
        begun,
        done,
        _state(store, name, trials, feasible, confirmed),
        metric,
        _best(feasible, directions),
        found.get("gain") if confirmed else None,
        _verdict(found) if confirmed else "",
    )


def _best(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> float | None:
    """Return the first objective of the best trial; of several objectives the one at the knee."""
    signs = [1 if one == StudyDirection.MINIMIZE else -1 for one in directions]
    if not trials:
        return None
    if len(signs) > 1:
        return float(trials[knee([t.values for t in trials], signs)].values[0])
    return float(min((t.values[0] for t in trials), key=lambda value: signs[0] * value))


def _state(
    store: Store,
    name: str,
    trials: Sequence[FrozenTrial],
    feasible: Sequence[FrozenTrial],
    confirmed: bool,
) -> StudyState:
    if store.is_running(name):
        return "running"
    handed_back = any(_files(store.folder(name)))
    something = any(t.user_attrs.get("placement") is not None for t in feasible)
    open_ = not trials or not all(t.state.is_finished() for t in trials)
    if open_ or (something and not handed_back):
        return "stopped"
    return "confirmed" if confirmed else "finished"


def _files(folder: Path) -> list[Path]:
    return [path for name in ("best.json", "candidate.json") if (path := folder / name).exists()]


def _found(folder: Path) -> dict[str, Any]:
    """Return what a study's placement file says of itself; nothing where it cannot be read."""
    for path in _files(folder):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["found"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return found if isinstance(found, dict) else {}
    return {}


def _verdict(found: dict[str, Any]) -> str:
    return str(found.get("verdict") or ("better" if found["significant"] else "not better"))
