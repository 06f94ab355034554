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
from actsearch.search.confirm.confirm import confirm_study
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.executors.executor import Executor, InlineExecutor, LocalExecutor
from actsearch.search.loop.coordinator import Coordinator, Listener
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.config import Fidelity, LearningRate, Objective, Plan
from actsearch.search.study.constraints import split
from actsearch.search.study.metric_names import in_test, mode_of
from actsearch.search.study.record import StudyRun, open_study, placement_file, survey, write_best
from actsearch.search.study.store import Store, check_name
from actsearch.search.training.given import give
from actsearch.search.training.target import Target, resolve
from actsearch.search.training.user_loop import Loop
from actsearch.tracking.ending import ending
from actsearch.tracking.mirror import Mirror
from actsearch.tracking.report import write_report


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Args:
        study: name of the study.
        best: the winner's placement where the confirmation found one, else the candidate's, of
            which ``apply`` warns.
        baseline: values of the baseline, one for each objective.
        trials: Optuna's record of every trial.
        confirmation: the paired comparison, where there was one.
        folder: the study's files.
        verdict: ``better``, ``worse`` or ``no difference found``, or ``not confirmed``.
        advice: what to do with it, in words: the lines to reuse a winner, or what to keep and how
            to look further.
    """

    study: str
    best: Placement
    baseline: list[float]
    trials: list[FrozenTrial]
    confirmation: Confirmation | None
    folder: Path
    verdict: str = "not confirmed"
    advice: str = ""


Trained = str | type[Any] | tuple[type[Any], Mapping[str, Any]] | Callable[..., Any]
"""What is trained: a name, a dotted path, a class, a class with its options, or a function."""


def make_plan(
    task: Trained,
    space: str | Path | SearchSpace | None = None,
    *,
    model: Callable[..., Any] | str = "",
    data: Trained = "",
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
    experience: bool = True,
    score: Literal["last", "best", ""] = "",
    split_option: str = "",
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
    task, options = _named(task, "task")
    data, more = _named(data, "data")
    model, _ = _named(model, "model")
    target = resolve(task, data, model)
    chosen = (
        space
        if isinstance(space, SearchSpace)
        else SearchSpace.load(space or target.default("space", "general"))
    )
    if granularity:
        chosen = SearchSpace.model_validate({**chosen.model_dump(), "granularity": granularity})
    if objectives and monitor:
        raise InvalidValueError(
            "either monitor with mode or objectives must be given, but got both. Leave one out."
        )
    if learn_from and sampler != "function_space":
        raise InvalidValueError(
            f"sampler must be function_space to learn from earlier studies, but got {sampler!r}."
        )
    wanted = tuple(Objective.parse(text) for text in objectives)
    if not wanted:
        metric = monitor or target.default("monitor", "val_loss")
        direction = mode or (target.default("mode", "min") if not monitor else mode_of(metric))
        wanted = (Objective(metric, direction),)
    first = wanted[0].metric
    required, bounds = split(require)
    scored = test_metric or (
        target.default("test_metric", "") if not monitor and not objectives else ""
    )
    configured = target.configure({**options, **more, **(config or {})})
    return Plan(
        task=task,
        data=data,
        model=model,
        config=configured,
        space=(
            str(space or target.default("space", "general"))
            if not isinstance(space, SearchSpace)
            else "given"
        ),
        space_content=chosen.model_dump(mode="json"),
        objectives=wanted,
        test_metric=scored or in_test(first),
        sampler=sampler,
        pruner=pruner,
        fidelity=fidelity,
        learning_rate=learning_rate,
        learn_from=tuple(learn_from),
        experience=experience,
        score=score,
        split_option=_split_option(target, configured, split_option),
        seed=seed,
        require=required,
        bounds=tuple(bounds),
        options={
            key: True
            for key, value in (("force", force), ("include_gates", include_gates))
            if value
        },
    )


def _named(thing: Trained | Callable[..., Any], part: str) -> tuple[str, dict[str, Any]]:
    """Return the name that something goes under, and its options by the part's name."""
    if isinstance(thing, str):
        return thing, {}
    if isinstance(thing, tuple):
        cls, options = thing
        return give(cls), {f"{part}.{key}": value for key, value in options.items()}
    return give(thing), {}


def _split_option(target: Target | Loop, config: Mapping[str, Any], given: str) -> str:
    """Return the option that seeds the division of the data: the given one, or one named ``split_seed``.

    Raises:
        InvalidValueError: there is no such option.
    """
    if isinstance(target, Loop):
        options = [name for name in {given, "split_seed"} if name and target.splits(name)]
    else:
        options = [f"{part}.{name}" for part in ("task", "data") for name in config.get(part) or {}]
    if given and given not in options:
        raise InvalidValueError(
            f"split_option must be an option of what is trained, but got {given!r}. Options:"
            f" {', '.join(options)}."
        )
    return given or next((name for name in options if name.rpartition(".")[2] == "split_seed"), "")


def run_search(
    task: Trained,
    space: str | Path | SearchSpace | None = None,
    *,
    model: Callable[..., Any] | str = "",
    trials: int = 30,
    store: str | Path = "mlruns",
    study: str = "",
    jobs: int = 1,
    executor: Literal["local", "inline"] | Executor = "local",
    trial_timeout: float | None = None,
    time: float | None = None,
    warm_start: str = "",
    confirm: int = 3,
    seeds: int = 8,
    listeners: Sequence[Listener] = (),
    progress: Callable[[int, int], None] = lambda done, of: None,
    **plan: Any,
) -> SearchResult:
    """Search which activation belongs where.

    Calling it again with the same arguments goes on where the study stands.

    Args:
        task: a built-in task's name; a LightningModule's class, ``(class, {"hidden": 64})`` with
            its options, or dotted path; or, with ``model``, a function ``train(model, report)`` of
            plain PyTorch. It calls ``report(epoch, {"val_accuracy": 0.9})``, which answers whether
            to stop, and returns the final metrics; its optimisers get the study's learning rate as
            it builds them.
        space: a search space, its name, or its file; the task's own by default, else ``general``.
        model: for a training function, the class or function that builds its model.
        trials: total number of trained trials of the study, the baseline included.
        store: folder of the record, the mirror and the files.
        study: name of the study; ``<task>-<space>`` by default.
        jobs: trainings at a time.
        executor: ``local`` (a process each) or ``inline`` (this process, for notebooks and
            debuggers).
        trial_timeout: seconds after which a training is stopped and counts as failed.
        time: seconds of wall-clock time for all, the confirmation included; no trial is started
            that would not fit.
        warm_start: name of an earlier study whose best placements are tried first.
        confirm: how many of the best are confirmed afterwards; 0 for none, and then nothing is
            known to be better.
        seeds: trainings per arm of the confirmation, on average; 8 find a gain of one standard
            deviation in 46 %.
        listeners: what wants to know of every trial.
        progress: called with (done, total) during the confirmation.
        **plan: ``data``, ``config`` (``{"task.hidden": 128, "trainer.max_epochs": 20}``),
            ``monitor``, ``mode``, ``objectives``, ``test_metric``, ``sampler``, ``pruner``,
            ``fidelity`` (``epochs``, ``data``, ``both``), ``learning_rate`` (``tuned``,
            ``searched``, ``fixed``), ``learn_from`` (names of studies), ``experience``, ``score``
            (``last``, ``best`` epoch), ``split_option`` (the option that seeds the division of the
            data: ``task.split_seed``), ``seed``, ``force``, ``include_gates``, ``granularity``,
            ``require`` (``["derivative_bound <= 1", "latency <= 0.5"]``: of every activation, or of
            the trained model).

    Raises:
        ActsearchError: bad input; nothing is written.

    >>> run_search("classification", "rectifiers", trials=30).best    # doctest: +SKIP
    """
    if trials < 1 or jobs < 1 or (time is not None and time <= 0):
        raise InvalidValueError(
            f"trials and jobs must be at least 1 and time positive, but got {trials=}, {jobs=},"
            f" {time=}."
        )
    home = Store(store)
    with make_executor(
        executor, jobs, trial_timeout
    ) as engine:  # first: its server imports while the plan is made
        intended = make_plan(task, space, model=model, **plan)
        name = check_name(
            study or f"{intended.task.rpartition('.')[2]}-{Path(intended.space).stem}"
        )
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
                reserved = 2 * (confirm + 1) * seeds if confirm else 0
                Coordinator(run, engine, jobs, everyone).search(
                    trials, time or math.inf, reserved, confirm
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
            f"The study is safe; bring it over later: actsearch sync {mirror.run.name} --store"
            f" {mirror.store.root}"
        )
        warnings.warn(
            f"MLflow at {mirror.uri} is behind ({mirror.problem}). {way_out}",
            ActsearchWarning,
            stacklevel=3,
        )


def confirm(
    study: str,
    *,
    task: Trained = "",
    model: Callable[..., Any] | str = "",
    data: Trained = "",
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
        task: what was trained, where no other process can import it (a class or function of a
            notebook).
        model: likewise, what builds its model.
        data: likewise, its data.
        top: how many of the best are confirmed.
        seeds: trainings per arm on average; ``(top + 1) * seeds`` at most, moved from dropped
            candidates to the best.
        store: folder of the study.
        jobs: trainings at a time.
        executor: as for :func:`run_search`.
        trial_timeout: as for :func:`run_search`.
        progress: called with (done, total).

    Raises:
        ActsearchError: no such study, or nothing to confirm.
    """
    for given in (task, model, data):
        _named(given, "")
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
    from actsearch.search.study.config import ATTRIBUTE

    return ATTRIBUTE in store.load(name).user_attrs


def _write_unconfirmed(run: StudyRun) -> None:
    trial = run.candidates(1)[0]
    placement = run.placement(trial)
    assert placement is not None
    first = run.plan.objectives[0]
    assert run.baseline is not None, "a search without a baseline ends before this"
    gain = (trial.values[0] - run.baseline.values[0]) * (1 if first.mode == "max" else -1)
    found = {
        "trial": trial.number,
        "metric": first.metric,
        "gain": gain,
        "seeds": 1,
        "significant": None,
    }
    file = placement_file(run)
    if (
        file is None or Placement.load(file).found.get("significant") is None
    ):  # a confirmed one stays
        write_best(run, placement, found, run.factor(trial))


def result_of(run: StudyRun, confirmation: Confirmation | None) -> SearchResult:
    """Return what a study has found."""
    file = placement_file(run)
    confirmed = confirmation or Confirmation.read(run)
    return SearchResult(
        run.name,
        Placement(sites={}) if file is None else Placement.load(file),
        list(run.baseline.values) if run.baseline else [],
        run.trials,
        confirmation,
        run.folder,
        confirmed.outcome if confirmed is not None and confirmed.comparisons else "not confirmed",
        ending(run),
    )
