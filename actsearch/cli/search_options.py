"""The options of a search: checked and explained before anything heavy is imported."""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actsearch.cli.declared import Declared, DeclaredOption, class_in, declared
from actsearch.cli.options import REPEATED
from actsearch.errors import InvalidValueError, UnknownNameError, printable
from actsearch.task import plugins

GIVEN = ("task", "data", "model", "config", "space_content")
"""Options of a study that the command has by other means."""

SHOWN = {
    "dry_run": DeclaredOption(
        "dry_run", "bool", help="print what would be searched and how long it takes"
    ),
    "quiet": DeclaredOption("quiet", "bool", help="print how it ended, and nothing else"),
    "verbose": DeclaredOption("verbose", "bool", help="print a line for each epoch and trial"),
    "print_config": DeclaredOption(
        "print_config", "bool", help="print every option as YAML, for --config"
    ),
    "config": DeclaredOption("config", "FILE", help="read options from a YAML file"),
    "data": DeclaredOption("data", "CLASS", help="a LightningDataModule; its options: --data.NAME"),
}
"""What the command has beside the options of a study."""

GROUPS = {
    "What is searched": ("space", "granularity", "learning_rate", "include_gates"),
    "What is better": ("objectives", "monitor", "mode", "require", "measures"),
    "How much": ("trials", "time", "jobs", "confirm", "seeds", "dry_run"),
    "How": ("sampler", "pruner", "fidelity", "seed"),
    "The study": ("study", "store", "record", "data", "config", "print_config", "quiet", "verbose"),
}
"""The options that matter most, as the short help has them."""

PARSER_S_OWN = ("help", "print_config")


@dataclass(frozen=True)
class KnownOptions:
    """The options of a search, as far as they can be read.

    Args:
        own: of the search.
        parts: of task, data and trainer; ``None`` where there is no source to read.
    """

    own: Declared
    parts: dict[str, Declared | None]

    @classmethod
    def of(cls, task: str, data: str = "") -> KnownOptions:
        """Read the options of a task's search; of no task, those that every search has.

        Raises:
            UnknownNameError: no such task.
        """
        how = declared("actsearch.run_options.RunOptions")
        config = declared("actsearch.search.study.config.StudyConfig")
        both = [one.options for one in (how, config) if one is not None]
        names = {n: o for options in both for n, o in options.items() if n not in GIVEN}
        path = task if "." in task or not task else class_in(plugins.module_of("tasks", task))
        parts = {
            "task": declared(path) if path else None,
            "data": declared(data) if "." in data else None,
            "trainer": declared("lightning.pytorch.trainer.trainer.Trainer"),
        }
        return cls(Declared({**names, **SHOWN}), parts)

    @property
    def flags(self) -> list[str]:
        """Options of the search that are true or false."""
        names = self.own.options.items()
        return [n for n, option in names if option.kind == "bool" and n not in PARSER_S_OWN]

    def names(self) -> Iterator[str]:
        """Yield every option that is known, as it is written."""
        yield from map(written, self.own.options)
        for part, found in self.parts.items():
            yield from (f"--{part}.{name}" for name in (found.options if found else ()))

    def check(self, words: Sequence[str], prog: str) -> None:
        """Refuse an option that does not exist, or a value that is none of its choices.

        Args:
            words: as :func:`actsearch.cli.options.canonical_words` returns them.
            prog: the command.

        Raises:
            UnknownNameError, InvalidValueError: the first that is wrong.
        """
        for index, word in enumerate(words):
            if not word.startswith("--"):
                continue
            key, equals, value = word.removeprefix("--").partition("=")
            option, whole = self._find(key.removesuffix("+"))
            if option is None and whole:
                way_out = f"`{prog} --help-all` lists the options."
                raise UnknownNameError.among("option", written(key), self.names(), way_out)
            following = words[index + 1 : index + 2]
            if option is not None and (equals or following):
                _check_value(key, option, value if equals else following[0])

    def _find(self, key: str) -> tuple[DeclaredOption | None, bool]:
        """Return an option, and where there is none whether that is known for sure."""
        part, dot, name = key.partition(".")
        if not dot:
            known = part in (*PARSER_S_OWN, *self.parts)
            return self.own.options.get(key), not known
        found = self.parts.get(part)
        if part not in self.parts or found is None:
            return None, part not in self.parts
        first, more, _ = name.partition(".")
        option = found.options.get(first)
        inside = option is not None and (bool(more) or first == "help")
        return (None, False) if inside else (option, found.whole)

    def short_help(self, task: str) -> str:
        """Return the options that matter most, in groups."""
        found = self.parts["task"] or Declared()
        own = {**found.values, **found.values.get("search_defaults", {})}
        lines = [f"usage: actsearch search {task} [options]", ""]
        lines += [found.summary, ""] if found.summary else []
        for title, names in GROUPS.items():
            lines += [f"{title}:", *(_line(self.own.options[n], own) for n in names), ""]
        for part, told in self.parts.items():
            if told is not None and part != "trainer" and told.options:
                options = [_line(o, {}, f"{part}.") for o in told.options.values()]
                lines += [f"The {part}'s own:", *options, ""]
        epochs = found.values.get("trainer_defaults", {}).get("max_epochs", 10)
        trainer = DeclaredOption("max_epochs", "int", str(epochs), "epochs of a training")
        lines += ["Lightning's trainer:", _line(trainer, {}, "trainer.")]
        lines += ["", f"actsearch search {task} --help-all lists every option."]
        return printable("\n".join(lines))


def written(name: str) -> str:
    """Return an option as it is written: dashes, but for names of Python's own arguments.

    >>> written("learning_rate"), written("objectives"), written("task.batch_size")
    ('--learning-rate', '--objective', '--task.batch_size')
    """
    if "." in name:
        return f"--{name}"
    once = {many: one for one, many in REPEATED.items()}
    return f"--{once.get(name, name).replace('_', '-')}"


def add_where(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """Add the options of where trainings run, as a search has them, and return their names."""
    found = declared("actsearch.run_options.RunOptions")
    assert found is not None, "our own source"
    names: tuple[str, ...] = found.values["WHERE"]
    for option in map(found.options.__getitem__, names):
        default = ast.literal_eval(option.default)
        parser.add_argument(
            written(option.name),
            type=_number(option) or str,
            default=default,
            choices=option.choices or None,
            help=_told(option, option.default),
        )
    return names


def _check_value(key: str, option: DeclaredOption, value: str) -> None:
    choices = [choice for choice in option.choices if choice]
    if choices and value not in (*option.choices, "null", "None"):
        raise UnknownNameError.among(key, value, choices)
    number = _number(option)
    try:
        if number is not None and value not in ("null", "None"):
            number(value)
    except ValueError:
        kind = "a whole number" if number is int else "a number"
        raise InvalidValueError(
            f'option "{key}" must be {kind}, but got {value!r}. Write {written(key)} 3.'
        ) from None


def _number(option: DeclaredOption) -> type[int] | type[float] | None:
    kinds: dict[str, type[int] | type[float]] = {"int": int, "float": float}
    return kinds.get(option.kind.removesuffix(" | None"))


def _told(option: DeclaredOption, default: str) -> str:
    """Return the first sentence of an option's help, with its default."""
    told = re.split(r"[.;] ", f"{option.help} ", maxsplit=1)[0].strip().rstrip(".")
    if default not in ("", "None", "[]", "{}", "False") and "default" not in told:
        told += f" (default: {default})"
    return told


def _line(option: DeclaredOption, own: dict[str, object], part: str = "") -> str:
    """Return the lines of an option."""
    name = written(part + option.name)
    default = str(own.get(option.name, option.default)).strip("'")
    told = _told(option, default)
    head = f"  {name} {_value(option)}".rstrip()
    width = min(110, shutil.get_terminal_size().columns if sys.stdout.isatty() else 110)
    body = textwrap.wrap(told, width - 32) or [""]
    first = f"{head:<31} {body[0]}" if len(head) < 31 else f"{head}\n{'':<32}{body[0]}"
    return "\n".join([first.rstrip(), *(f"{'':<32}{line}" for line in body[1:])])


def _value(option: DeclaredOption) -> str:
    """Return what stands for an option's value."""
    if choices := [choice for choice in option.choices if choice]:
        return "|".join(choices)
    kind = option.kind
    if kind == "bool" or kind.isupper():
        return kind.removeprefix("bool")
    if re.match(r"(\w*Int|int|Annotated\[int)\b", kind):
        return "N"
    return "X" if re.match(r"(\w*Float|float|\w*Interval|Annotated\[float)\b", kind) else "VALUE"
