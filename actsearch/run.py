"""The two verbs of the engine, with everything wired: search and confirm."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from optuna.trial import FrozenTrial

from actsearch.errors import ActsearchWarning, InvalidValueError, UnknownNameError
from actsearch.placement import Placement
from actsearch.search.confirm import Confirmation, confirm_study
from actsearch.search.constraints import split
from actsearch.search.coordinator import Coordinator, Listener
from actsearch.search.executor import Executor, InlineExecutor, LocalExecutor
from actsearch.search.plan import LEARNING_RATE, Fidelity, LearningRate, Objective, Plan
from actsearch.search.space import SearchSpace
from actsearch.search.store import Store, check_name
from actsearch.search.study import StudyRun, open_study, survey, write_best
from actsearch.search.target import Target
from actsearch.tracking.mirror import Mirror
from actsearch.tracking.report import write_report


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Args:
        study: name of the study.
        best: the best placement: the confirmed one where there was a confirmation, else the best single run's.
        baseline: values of the baseline, one for each objective.
        trials: Optuna's record of every trial.
        confirmation: the paired comparison, where there was one.
        folder: the study's files.
    """

    study: str
    best: Placement
    baseline: list[float]
    trials: list[FrozenTrial]
    confirmation: Confirmation | None
    folder: Path


def make_plan(
    task: str,
    space: str | Path | SearchSpace | None = None,
    *,
    data: str = "",
    config: Mapping[str, Any] | None = None,
    monitor: str = "",
    mode: Literal["min", "max", ""] = "",
    objectives: Sequence[str] = (),
    test_metric: str = "",
    sampler: str = "function_space",
    pruner: str = "median",
    fidelity: Fidelity = "epochs",
    learning_rate: LearningRate = "tuned",
    learn_from: Sequence[str] = (),
    seed: int = 0,
    force: bool = False,
    include_gates: bool = False,
    granularity: str = "",
    require: Sequence[str] = (),
) -> Plan:
    """Resolve names into the plan of a study; see :func:`run_search` for the arguments.

    Raises:
        ActsearchError: a name that does not exist, or a value outside of its range.
    """
    target = Target.resolve(task, data)
    chosen = (
        space if isinstance(space, SearchSpace) else SearchSpace.load(space or target.default("space", "rectifiers"))
    )
    if granularity:
        chosen = SearchSpace.model_validate({**chosen.model_dump(), "granularity": granularity})
    if objectives and monitor:
        raise InvalidValueError("either monitor with mode or objectives must be given, but got both. Leave one out.")
    if learn_from and sampler != "function_space":
        raise InvalidValueError(f"sampler must be function_space to learn from earlier studies, but got {sampler!r}.")
    wanted = tuple(Objective.parse(text) for text in objectives)
    if not wanted:
        metric = monitor or target.default("monitor", "val_loss")
        direction = mode or (target.default("mode", "min") if not monitor else _mode_of(metric))
        wanted = (Objective(metric, direction),)
    first = wanted[0].metric
    required, bounds = split(require)
    scored = test_metric or (target.default("test_metric", "") if not monitor and not objectives else "")
    return Plan(
        task=task,
        data=data,
        config=target.configure(dict(config or {})),
        space=str(space or target.default("space", "rectifiers")) if not isinstance(space, SearchSpace) else "given",
        space_content=chosen.model_dump(mode="json"),
        objectives=wanted,
        test_metric=scored or first.replace("val", "test", 1),
        sampler=sampler,
        pruner=pruner,
        fidelity=fidelity,
        learning_rate=learning_rate,
        learn_from=tuple(learn_from),
        seed=seed,
        require=required,
        bounds=tuple(bounds),
        options={key: True for key, value in (("force", force), ("include_gates", include_gates)) if value},
    )


def _mode_of(metric: str) -> Literal["min", "max"]:
    """Return the better direction that a metric's name tells."""
    up = ("acc", "auc", "f1", "r2", "return", "reward", "precision", "recall", "likelihood", "iou", "psnr")
    return "max" if any(word in metric.lower() for word in up) else "min"


def run_search(
    task: str,
    space: str | Path | SearchSpace | None = None,
    *,
    trials: int = 30,
    store: str | Path = "mlruns",
    study: str = "",
    jobs: int = 1,
    executor: Literal["local", "inline"] | Executor = "local",
    trial_timeout: float | None = None,
    time: float | None = None,
    warm_start: str = "",
    confirm: int = 0,
    seeds: int = 8,
    listeners: Sequence[Listener] = (),
    progress: Callable[[int, int], None] = lambda done, of: None,
    **plan: Any,
) -> SearchResult:
    """Search which activation belongs where.

    Calling it again with the same arguments goes on where the study stands.

    Args:
        task: a built-in task's name, or the dotted path of a LightningModule.
        space: a search space, its name, or its file; the task's own by default.
        trials: total number of trials of the study, the baseline included.
        store: folder of the record, the mirror and the files.
        study: name of the study; ``<task>-<space>`` by default.
        jobs: trainings at a time.
        executor: ``local`` (a process each) or ``inline`` (this process, for notebooks and debuggers).
        trial_timeout: seconds after which a training is stopped and counts as failed.
        time: seconds of wall-clock time for all, the confirmation included; no trial is started that would not fit.
        warm_start: name of an earlier study whose best placements are tried first.
        confirm: how many of the best are confirmed afterwards; 0 for none.
        seeds: trainings per arm of the confirmation, on average; 8 find a gain of one standard deviation in 46 %.
        listeners: what wants to know of every trial.
        progress: called with (done, total) during the confirmation.
        **plan: ``data``, ``config`` (``{"task.hidden": 128, "trainer.max_epochs": 20}``), ``monitor``, ``mode``,
            ``objectives``, ``test_metric``, ``sampler``, ``pruner``, ``fidelity`` (``epochs``, ``data``, ``both``),
            ``learning_rate`` (``tuned``, ``searched``, ``fixed``), ``learn_from`` (names of studies), ``seed``, ``force``,
            ``include_gates``, ``granularity``,
            ``require`` (``["derivative_bound <= 1", "latency <= 0.5"]``: of every activation, or of the trained model).

    Raises:
        ActsearchError: bad input; nothing is written.

    >>> run_search("classification", "rectifiers", trials=30).best    # doctest: +SKIP
    """
    if trials < 1 or jobs < 1 or (time is not None and time <= 0):
        raise InvalidValueError(
            f"trials and jobs must be at least 1 and time positive, but got {trials=}, {jobs=}, {time=}."
        )
    home = Store(store)
    with make_executor(executor, jobs, trial_timeout) as engine:  # first: its server imports while the plan is made
        intended = make_plan(task, space, **plan)
        name = check_name(study or f"{task.rpartition('.')[2]}-{Path(intended.space).stem}")
        mirror = Mirror(home)
        mirror.load()
        exists = name in home.names() and is_complete(home, name)
        seen = None if exists else survey(intended, engine)
        for earlier in (*intended.learn_from, *([warm_start] if warm_start else [])):
            home.load(earlier)
        with home.owned(name):
            run = open_study(home, name, intended, seen, warm_start)
            everyone = [mirror, *listeners]
            with mirror.following(run):
                Coordinator(run, engine, jobs, everyone).search(
                    trials, time or math.inf, (confirm + 1) * seeds if confirm else 0
                )
                confirmation = None
                if confirm and run.candidates(confirm):
                    confirmation = confirm_study(run, engine, confirm, seeds, jobs, progress)
                elif run.candidates(1):
                    _write_unconfirmed(run)
                write_report(run)
            _finish_mirror(mirror, confirmation)
            return result_of(run, confirmation)


def _finish_mirror(mirror: Mirror, confirmation: Confirmation | None) -> None:
    if confirmation is not None:
        mirror.log_model()
    if mirror.problem:
        way_out = (
            f"The study is safe; bring it over later: actsearch sync {mirror.run.name} --store {mirror.store.root}"
        )
        warnings.warn(f"MLflow at {mirror.uri} is behind ({mirror.problem}). {way_out}", ActsearchWarning, stacklevel=3)


def confirm(
    study: str,
    *,
    top: int = 3,
    seeds: int = 16,
    store: str | Path = "mlruns",
    jobs: int = 1,
    executor: Literal["local", "inline"] | Executor = "local",
    trial_timeout: float | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> SearchResult:
    """Retrain a study's best placements and its baseline on the same new seeds, and compare them on the test split.

    Args:
        study: name of the study.
        top: how many of the best are confirmed.
        seeds: trainings per arm on average; ``(top + 1) * seeds`` at most, moved from dropped candidates to the best.
        store: folder of the study.
        jobs: trainings at a time.
        executor: as for :func:`run_search`.
        trial_timeout: as for :func:`run_search`.
        progress: called with (done, total).

    Raises:
        ActsearchError: no such study, or nothing to confirm.
    """
    home = Store(store)
    run = StudyRun.load(home, study)
    with make_executor(executor, jobs, trial_timeout) as engine, home.owned(study):
        mirror = Mirror(home)
        with mirror.following(run):
            confirmation = confirm_study(run, engine, top, seeds, jobs, progress)
            write_report(run)
        _finish_mirror(mirror, confirmation)
        return result_of(run, confirmation)


def make_executor(kind: str | Executor, jobs: int, timeout: float | None) -> Executor:
    """Return an executor by name.

    Raises:
        UnknownNameError: no such executor.
    """
    if isinstance(kind, Executor):
        return kind
    if kind == "inline":
        return InlineExecutor()
    if kind != "local":
        raise UnknownNameError.among("executor", kind, ("local", "inline"))
    return LocalExecutor(jobs, timeout)


def is_complete(store: Store, name: str) -> bool:
    """Whether a study of that name was made to the end, so that it can be resumed."""
    from actsearch.search.plan import ATTRIBUTE

    return ATTRIBUTE in store.load(name).user_attrs


def _write_unconfirmed(run: StudyRun) -> None:
    trial = run.candidates(1)[0]
    placement = run.placement(trial)
    assert placement is not None
    first = run.plan.objectives[0]
    assert run.baseline is not None, "a search without a baseline ends before this"
    gain = (trial.values[0] - run.baseline.values[0]) * (1 if first.mode == "max" else -1)
    found = {"trial": trial.number, "metric": first.metric, "gain": gain, "seeds": 1, "significant": None}
    write_best(run, placement, {**found, LEARNING_RATE: run.factor(trial)})


def result_of(run: StudyRun, confirmation: Confirmation | None) -> SearchResult:
    """Return what a study has found."""
    best = run.folder / "best.json"
    placement = Placement.load(best) if best.exists() else Placement(sites={})
    return SearchResult(
        run.name, placement, list(run.baseline.values) if run.baseline else [], run.trials, confirmation, run.folder
    )
