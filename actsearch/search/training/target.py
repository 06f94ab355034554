"""What is trained: a task by name or a LightningModule by dotted path, with its options."""

from __future__ import annotations

import copy
import difflib
import functools
import importlib
import inspect
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from actsearch.dotted import import_dotted, see_current_folder
from actsearch.errors import InvalidValueError, TaskError
from actsearch.search.training import given
from actsearch.search.training.user_loop import Loop
from actsearch.task import plugins
from actsearch.task.task import Task

# What a search does not use costs time in every trial; each can be turned on again by its option.
LEAN_TRAINER: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "devices": 1,
    "max_epochs": 10,
}


@dataclass(frozen=True)
class Target:
    """A class to train, its data module where it has one, and the trainer of the same namespace.

    Args:
        name: as the user gave it.
        module: the LightningModule's class.
        data: the LightningDataModule's class, or ``None``.
        trainer: ``Trainer`` of ``lightning.pytorch`` or of ``pytorch_lightning``, as the class
            needs.
    """

    name: str
    module: type[Any]
    data: type[Any] | None
    trainer: type[Any]

    @classmethod
    def resolve(cls, name: str, data: str = "") -> Target:
        """Find the classes behind the names.

        Raises:
            UnknownNameError: no such task; the message has the nearest.
            TaskError: a dotted path that leads nowhere, or to no LightningModule; a module and data
                of two Lightnings.
        """
        if "." in name:
            module = import_class(name, "LightningModule")
        else:
            tasks = importlib.import_module(plugins.module_of("tasks", name))
            own = [
                c
                for c in vars(tasks).values()
                if isinstance(c, type)
                and issubclass(c, Task)
                and f"{c.__module__}.".startswith(f"{tasks.__name__}.")
            ]
            if len(own) != 1:
                file = plugins.find_member("tasks", name)
                raise TaskError(f"{file} must define one Task, but defines {len(own)}.")
            module = own[0]
        namespace = _namespace(module)
        trainer = importlib.import_module(
            "pytorch_lightning" if namespace == "pytorch_lightning" else "lightning.pytorch"
        ).Trainer
        source = import_class(data, "LightningDataModule") if data else None
        if source is not None and _namespace(source, "LightningDataModule") != namespace:
            other = _namespace(source, "LightningDataModule")
            raise TaskError(
                f"module and data must be of one Lightning, but {name} is of {namespace} and {data}"
                f" of {other}. Import both from the same package."
            )
        return cls(name, module, source, trainer)

    def default(self, attribute: str, fallback: Any) -> Any:
        """Return what a task says of itself, or the fallback for a user's own class."""
        return getattr(self.module, attribute) if issubclass(self.module, Task) else fallback

    def add_options(self, parser: ArgumentParser) -> None:
        """Add ``--task.*``, ``--data.*`` and ``--trainer.*`` to a parser."""
        self._add_classes(parser, trainer_options(self.trainer))
        defaults = LEAN_TRAINER | self.default("trainer_defaults", {})
        parser.set_defaults({f"trainer.{key}": value for key, value in defaults.items()})

    def _add_classes(self, parser: ArgumentParser, trainer: Collection[str]) -> None:
        """Add the classes to a parser, the trainer with some of its options.

        Each of its forty costs time in every trial.
        """
        parser.add_class_arguments(self.module, "task", fail_untyped=False)
        if self.data is not None:
            parser.add_class_arguments(self.data, "data", fail_untyped=False)
        unused = set(trainer_options(self.trainer)).difference(trainer)
        parser.add_class_arguments(self.trainer, "trainer", fail_untyped=False, skip=unused)

    def parser(self) -> ArgumentParser:
        """Return a parser of these options alone."""
        parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
        self.add_options(parser)
        return parser

    def configure(self, options: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the complete configuration of given options.

        It has every option of task and data, and those of the trainer that were changed.

        Raises:
            InvalidValueError: an option that does not exist or has a wrong value.
        """
        parser = self.parser()
        try:
            return self.freeze(parser.parse_object(_nested(options or {})))
        except (ArgumentError, TypeError, KeyError) as error:
            raise InvalidValueError(option_error(error, parser)) from None

    def freeze(self, options: Namespace) -> dict[str, Any]:
        """Return parsed options as plain data, as :meth:`configure` does."""
        parts = Namespace()
        for part in ("task", "data", "trainer"):
            if part in options and (part != "data" or self.data is not None):
                parts[part] = options[part]
        frozen: dict[str, Any] = json.loads(
            self.parser().dump(parts, format="json", skip_validation=True)
        )
        own = trainer_options(self.trainer)
        changed = {
            name: value
            for name, value in frozen.get("trainer", {}).items()
            if value != own.get(name)
        }
        return {"task": {}, **frozen, "trainer": changed}

    def build(self, config: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Return a fresh module, its data module (or ``None``) and its trainer."""
        parser, options = _parsed(self, json.dumps(config, sort_keys=True))
        options = copy.deepcopy(options)
        for part, cls in {"task": self.module, "data": self.data}.items():
            if cls is not None:
                restore_functions(cls, options.get(part, Namespace()))
        built = parser.instantiate(options)
        return built["task"], built.get("data"), built["trainer"]


@functools.lru_cache(maxsize=4)
def _parsed(target: Target, config: str) -> tuple[ArgumentParser, Namespace]:
    """Return a target's parser and its options: seeds of one training build it again and again."""
    options = json.loads(config)
    parser = ArgumentParser(exit_on_error=False)
    target._add_classes(parser, options.get("trainer", {}))
    return parser, parser.parse_object(options)


def resolve(task: str, data: str = "", model: str = "") -> Target | Loop:
    """Find what is trained: a module, or a loop where there is something that builds its model.

    Raises:
        UnknownNameError: no such task.
        TaskError: a dotted path that leads nowhere, or to something else; data beside a loop.
    """
    if not model:
        return Target.resolve(task, data)
    if data:
        raise TaskError(
            f"a training function must load its data itself, but got data {data!r}. Leave it out."
        )
    return Loop.resolve(task, model)


def trainer_options(trainer: type[Any]) -> dict[str, Any]:
    """Return a trainer's options and their defaults."""
    return {name: p.default for name, p in inspect.signature(trainer).parameters.items()}


def option_error(error: Exception, parser: ArgumentParser) -> str:
    """Return the parser's complaint in one line, with the nearest options where one is unknown."""
    text = " ".join(str(error).replace("Parser key", "option").split())
    unknown = next((word for word in text.replace("'", " ").split() if word.startswith("--")), "")
    if "does not accept option" in text and not unknown:
        unknown = text.split("does not accept option")[-1].strip(" '.")
    if unknown:
        options = sorted({f"--{key}" for key in parser.get_defaults().as_flat().__dict__})
        nearest = difflib.get_close_matches(
            f"--{unknown.lstrip('-').split('=')[0]}", options, n=3, cutoff=0.4
        )
        text = text.rstrip(".") + (f"; nearest: {', '.join(nearest)}" if nearest else "")
    return text if text.endswith(".") else text + "."


def restore_functions(cls: type[Any], options: Namespace) -> None:
    """Put back defaults that are functions, which the parser has as text where text is allowed."""
    for name, argument in inspect.signature(cls).parameters.items():
        default = argument.default
        path = f"{getattr(default, '__module__', '')}.{getattr(default, '__qualname__', '')}"
        if inspect.isroutine(default) and options.get(name) == path:
            options[name] = default


def _nested(options: dict[str, Any]) -> dict[str, Any]:
    """Turn ``{"task.hidden": 3}`` into ``{"task": {"hidden": 3}}``; nested data stays as it is."""
    nested: dict[str, Any] = {}
    for key, value in options.items():
        part, _, name = key.partition(".")
        if name:
            nested.setdefault(part, {})[name] = value
        else:
            nested[part] = {**nested.get(part, {}), **value} if isinstance(value, dict) else value
    return nested


def imported(path: str) -> Any:
    """Return what stands at a dotted path: given in Python, or importable from the current folder.

    Raises:
        TaskError: nothing there.
    """
    see_current_folder()  # for what was given and imports from there as well
    found = given.look_up(path) or import_dotted(path, TaskError)
    if found is None:
        module, _, name = path.rpartition(".")
        raise TaskError(f"{path!r} must name a class, but {module} has no {name!r}.")
    return found


def import_class(path: str, kind: str) -> type[Any]:
    """Return the class at a dotted path, of a kind.

    Args:
        path: ``package.module.Class``.
        kind: name of a class that it must derive from: ``LightningModule``, ``LightningDataModule``
            or ``Module``.

    Raises:
        TaskError: nothing there, or not of that kind.
    """
    found = imported(path)
    if inspect.isfunction(found):
        raise TaskError(
            f"{path!r} is a training function, which must come with model=, what builds its model."
        )
    if not isinstance(found, type) or not _namespace(found, kind):
        home = "torch.nn" if kind == "Module" else "lightning.pytorch or pytorch_lightning"
        raise TaskError(f"{path!r} must be a {kind} of {home}, but is {found!r}.")
    return found


def _namespace(cls: type[Any], kind: str = "LightningModule") -> str:
    return next((c.__module__.split(".")[0] for c in cls.__mro__ if c.__name__ == kind), "")
