"""From what a user gives to the complete options of a study: every default and name told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from actsearch.errors import ActsearchError, InvalidValueError
from actsearch.measures import build
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.config import Objective, StudyConfig, measure_class
from actsearch.search.study.constraints import split
from actsearch.search.study.metric_names import direction_of, in_test
from actsearch.search.training.given import give
from actsearch.search.training.target import Target, resolve
from actsearch.search.training.user_loop import Loop

Trained = str | type[Any] | tuple[type[Any], Mapping[str, Any]] | Callable[..., Any]
"""What is trained: a name, a dotted path, a class, a class with its options, or a function."""


def study_config(
    task: Trained, space: str | Path | SearchSpace | None = None, **options: Any
) -> StudyConfig:
    """Return the complete options of a study.

    Args:
        task: what is trained; ``data`` and ``model`` likewise.
        space: a search space, its name or its file; the task's own by default.
        **options: of :class:`StudyConfig`.

    Raises:
        ActsearchError: a name that does not exist, or a value outside of its range.
    """
    own: dict[str, Any] = {}
    for part, thing in {"task": task, "data": options.get("data", "")}.items():
        options[part], given = name_and_options(thing)
        own |= {f"{part}.{key}": value for key, value in given.items()}
    options["model"], _ = name_and_options(options.get("model", ""))
    options["config"] = own | dict(options.get("config") or {})
    options["objectives"] = list(options.get("objectives") or ())
    options["measures"] = _measures(options.get("measures") or {})
    chosen = space if isinstance(space, SearchSpace) else None
    options["space"] = "given" if chosen is not None else str(space or "")
    return _complete(StudyConfig.of(options), chosen)


def completed(stored: StudyConfig) -> StudyConfig:
    """Return the options of a stored study, those that its task has got since at their defaults.

    Where the task is not what it was, they are returned as they are.
    """
    try:
        target = resolve(stored.task, stored.data, stored.model)
        return replace(stored, config=target.configure(stored.config))
    except ActsearchError:
        return stored


def name_and_options(thing: Trained) -> tuple[str, dict[str, Any]]:
    """Return the name that what is trained goes under, and its options.

    Raises:
        TaskError: neither a name nor a class nor a function with a name.
    """
    if isinstance(thing, str):
        return thing, {}
    if isinstance(thing, tuple):
        cls, options = thing
        return give(cls), dict(options)
    return give(thing), {}


def _measures(wanted: Any) -> dict[str, dict[str, Any]]:
    """Return measures by name or dotted path, with their options; each can be built.

    Raises:
        ActsearchError: a name or an option that does not exist.
    """
    parts = wanted.items() if isinstance(wanted, Mapping) else ((one, {}) for one in wanted)
    found: dict[str, dict[str, Any]] = {}
    for one, options in parts:
        name, own = name_and_options(one)
        build(measure_class(name), found.setdefault(name, {**own, **options}))
    return found


def _complete(given: StudyConfig, space: SearchSpace | None) -> StudyConfig:
    if given.objectives and given.monitor:
        raise InvalidValueError(
            "either monitor with mode or objectives must be given, but got both. Leave one out."
        )
    if given.learn_from and given.sampler != "function_space":
        raise InvalidValueError(
            "sampler must be function_space to learn from earlier studies, but got"
            f" {given.sampler!r}."
        )
    if given.measure_every < 0 or (given.measure_every and not given.measures):
        raise InvalidValueError(
            "measure_every must be at least 0, and 0 without measures, but got"
            f" {given.measure_every}. Name measures with --measure."
        )
    if given.seeds_per_trial is not None and given.seeds_per_trial < 1:
        raise InvalidValueError(
            f"seeds_per_trial must be at least 1, but got {given.seeds_per_trial}."
        )
    target = resolve(given.task, given.data, given.model)
    name = given.space or target.default("space", "general")
    space = space or SearchSpace.load(name)
    if given.granularity:
        space = SearchSpace.model_validate({**space.model_dump(), "granularity": given.granularity})
    own = {cls.name: cls.direction for cls in map(measure_class, given.measures) if cls.direction}
    texts = [f"{text}:{own[text]}" if text in own else text for text in given.objectives]
    objectives = [Objective.parse(text) for text in texts] or [_goal(given, target)]
    own_goal = not given.monitor and not given.objectives
    test_metric = given.test_metric or (target.default("test_metric", "") if own_goal else "")
    required, bounds = split(given.require)
    config = target.configure(given.config)
    return replace(
        given,
        config=config,
        space=name,
        space_content=space.model_dump(mode="json"),
        granularity="",
        monitor="",
        mode="",
        objectives=[f"{one.metric}:{one.mode}" for one in objectives],
        require=[required] * bool(required) + [str(bound) for bound in bounds],
        test_metric=test_metric or in_test(objectives[0].metric),
        split_option=_split_option(target, config, given.split_option),
    )


def _goal(given: StudyConfig, target: Target | Loop) -> Objective:
    """Return the one objective: the monitored metric, else the task's own."""
    if given.monitor:
        return Objective(given.monitor, given.mode or direction_of(given.monitor))
    metric = target.default("monitor", "val_loss")
    return Objective(metric, given.mode or target.default("mode", "min"))


def _split_option(target: Target | Loop, config: Mapping[str, Any], given: str) -> str:
    """Return the option that seeds the division of the data: the given one, or ``split_seed``.

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
