"""The two verbs of the engine, with everything wired: search and confirm."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from inspect import Parameter
from pathlib import Path
from typing import Any, Literal, get_type_hints

from actsearch.errors import ActsearchWarning, InvalidValueError, UnknownNameError
from actsearch.result import SearchResult as SearchResult
from actsearch.result import search_result as search_result
from actsearch.run_options import RunOptions
from actsearch.search.confirm.confirm import confirm_study
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.executors.executor import Executor
from actsearch.search.executors.inline import InlineExecutor
from actsearch.search.executors.local import LocalExecutor
from actsearch.search.loop.coordinator import Coordinator
from actsearch.search.loop.listener import Listener
from actsearch.search.loop.survey import survey, survey_again
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.changes import check_unchanged
from actsearch.search.study.config import StudyConfig
from actsearch.search.study.kept_files import tell_missing_files
from actsearch.search.study.placement_file import write_unconfirmed
from actsearch.search.study.record import StudyRun, find_study, open_study
from actsearch.search.study.resolve import Trained, name_and_options, study_config
from actsearch.search.study.store import Store, check_name
from actsearch.search.training.target import resolve
from actsearch.tracking.mirror import Mirror
from actsearch.tracking.notebook import shown_in_notebook, silent
from actsearch.tracking.provenance import record_call, record_end
from actsearch.tracking.report import write_report


def _with_options(
    names: Sequence[str],
) -> Callable[[Callable[..., SearchResult]], Callable[..., SearchResult]]:
    """Let a function's signature show what its ``**options`` are.

    Args:
        names: of them.
    """

    def shown(function: Callable[..., SearchResult]) -> Callable[..., SearchResult]:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind != p.VAR_KEYWORD]
        kinds = get_type_hints(RunOptions) | get_type_hints(StudyConfig)
        for one in (*fields(RunOptions), *fields(StudyConfig)):
            if one.name in signature.parameters or one.name not in names:
                continue
            default = one.default if one.default_factory is MISSING else one.default_factory()
            own.append(
                Parameter(
                    one.name, Parameter.KEYWORD_ONLY, default=default, annotation=kinds[one.name]
                )
            )
        function.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]  # inspect's own hook
        return function

    return shown


OPTIONS = tuple(
    one.name for one in (*fields(RunOptions), *fields(StudyConfig)) if one.name != "space_content"
)
"""All options of a search."""


@_with_options(OPTIONS)
def run_search(
    task: Trained,
    space: str | Path | SearchSpace | None = None,
    *,
    executor: Literal["local", "ray", "inline"] | Executor = "local",
    listeners: Sequence[Listener] = (),
    progress: Callable[[int, int], None] = silent,
    **options: Any,
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
        executor: ``local`` (a process each), ``ray`` (a task each on a Ray cluster), ``inline``
            (this process, for notebooks and debuggers), or one of your own.
        listeners: what wants to know of every trial; in a notebook a progress bar where none is
            given.
        progress: called with (done, total) during the confirmation; likewise.
        **options: of :class:`RunOptions` (``trials``, ``jobs``, ``time``, ``store``, ``study``,
            ``confirm``, ``seeds``, ...) and of
            :class:`actsearch.search.study.config.StudyConfig` (``model`` for a training function,
            the class or function that builds its model; ``data``, ``config``, ``monitor``,
            ``objectives``, ``require``, ``sampler``, ``learning_rate``, ``seed``, ...).

    Raises:
        ActsearchError: bad input; nothing is written.

    >>> run_search("classification", "rectifiers", trials=30).best    # doctest: +SKIP
    """
    how, given = _parted(options)
    home = Store(how.store, how.record)
    # First the executor: its server imports while the options are completed.
    with home.guarded(), make_executor(executor, how) as engine:
        config = study_config(task, space, **given)
        suited = resolve(config.task, config.data, config.model).default("search_defaults", {})
        how = replace(how, **{key: suited[key] for key in suited if key not in options})
        name = check_name(
            how.study or f"{config.task.rpartition('.')[2]}-{Path(config.space).stem}"
        )
        mirror = Mirror(home, vars(how))
        mirror.load()
        known = find_study(home, name, config)  # other options are told before anything runs
        info = survey(config, engine) if known is None else survey_again(known, engine)
        for earlier in (*config.learn_from, *([how.warm_start] if how.warm_start else [])):
            home.load(earlier)
        with home.owned(name):
            run = open_study(home, name, config, info, how.warm_start)
            check_unchanged(run, info, how.accept_changes)
            tell_missing_files(run)
            with mirror.following(run), shown_in_notebook(listeners, progress) as shown:
                call = record_call(run)
                reserved = 2 * (how.confirm + 1) * how.seeds if how.confirm else 0
                coordinator = Coordinator(run, engine, how.jobs, [mirror, *shown.listeners])
                coordinator.search(how.trials, how.time or math.inf, reserved, how.confirm)
                confirmation = None
                if how.confirm and run.candidates(how.confirm):
                    confirmation = confirm_study(
                        run, engine, how.confirm, how.seeds, how.jobs, shown.progress
                    )
                elif run.candidates(1):
                    write_unconfirmed(run)
                record_end(run, call)
                write_report(run)
            _finish_mirror(mirror, confirmation)
            return search_result(run, confirmation)


def _parted(options: Mapping[str, Any]) -> tuple[RunOptions, dict[str, Any]]:
    """Return how a search is run, and what else was given.

    Raises:
        InvalidValueError: an option that does not exist.
    """
    _check_known(options, OPTIONS)
    how = {one.name for one in fields(RunOptions)}
    given = {name: value for name, value in options.items() if name in how}
    if "store" in given:
        given["store"] = str(given["store"])
    return RunOptions(**given), {n: value for n, value in options.items() if n not in how}


def _check_known(options: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in options:
        if name not in known:
            raise UnknownNameError.among("option", name, known)


def _finish_mirror(mirror: Mirror, confirmation: Confirmation | None) -> None:
    if confirmation is not None:
        mirror.log_model()
    if mirror.problem:
        way_out = (
            f"The study is safe; bring it over later: actsearch sync {mirror.run.name} --store"
            f" {mirror.store.root}{mirror.store.record_option}"
        )
        warnings.warn(
            f"MLflow at {mirror.uri} is behind ({mirror.problem}). {way_out}",
            ActsearchWarning,
            stacklevel=3,
        )


@_with_options(RunOptions.WHERE)
def confirm(  # noqa: PLR0913  # the options of a command
    study: str,
    *,
    task: Trained = "",
    model: Callable[..., Any] | str = "",
    data: Trained = "",
    top: int = 3,
    seeds: int = 16,
    store: str | Path = "mlruns",
    record: str = "",
    executor: Literal["local", "ray", "inline"] | Executor = "local",
    accept_changes: bool = False,
    progress: Callable[[int, int], None] = silent,
    **options: Any,
) -> SearchResult:
    """Retrain a study's best placements and its baseline on new seeds, and compare them.

    All have the same seeds, and the test split scores them.

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
        record: as for :func:`run_search`.
        executor: as for :func:`run_search`.
        accept_changes: as for :func:`run_search`.
        progress: called with (done, total).
        **options: where the trainings run, as for :func:`run_search`: ``jobs``, ``trial_timeout``,
            ``cpus_per_trial``, ``gpus_per_trial``, ``ray_address``, ...

    Raises:
        ActsearchError: no such study, or nothing to confirm.
    """
    for given in (task, model, data):
        name_and_options(given)
    home = Store(store, record)
    run = StudyRun.load(home, study)
    _check_known(options, RunOptions.WHERE)
    how = RunOptions(**options)
    engine = make_executor(executor, how)
    with home.guarded(), engine, home.owned(study):
        check_unchanged(run, survey_again(run, engine), accept_changes)
        tell_missing_files(run)
        mirror = Mirror(home)
        with mirror.following(run):
            call = record_call(run)
            with shown_in_notebook((), progress) as shown:
                confirmation = confirm_study(run, engine, top, seeds, how.jobs, shown.progress)
            record_end(run, call)
            write_report(run)
        _finish_mirror(mirror, confirmation)
        return search_result(run, confirmation)


def make_executor(kind: str | Executor, how: RunOptions) -> Executor:
    """Return an executor by name.

    Args:
        kind: its name, or one that is handed through.
        how: what runs there.

    Raises:
        UnknownNameError: no such executor.
    """
    if isinstance(kind, Executor):
        return kind
    if kind not in (known := ("local", "ray", "inline")):
        raise UnknownNameError.among("executor", kind, known)
    if how.ray and kind != "ray":
        raise InvalidValueError(
            f"--ray-... must come with executor 'ray', but got {kind!r}. Write: --executor ray."
        )
    if kind == "inline":
        return InlineExecutor()
    if kind == "local":
        return LocalExecutor(how.jobs, how.trial_timeout, how.resources)
    # Here alone: others do without Ray.
    from actsearch.search.executors.ray import RayExecutor

    return RayExecutor(how.jobs, how.trial_timeout, how.resources, how.ray)
