"""``actsearch search TASK``: search, confirm, and hand back the two lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from actsearch.cli.options import (
    canonical_words,
    merge_options,
    take_data,
    take_flags,
    take_measures,
)
from actsearch.cli.search_options import GIVEN, PARSER_S_OWN, SHOWN, KnownOptions, written
from actsearch.errors import InvalidValueError, StudyError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from actsearch.search.training.target import Target

NO_OPTIONS_OF_A_SEARCH = ("config", "task", "data", "trainer")
"""What the parser has besides the options of a search."""

SEARCH_USAGE = """usage: actsearch search TASK [options]

TASK is a name that `actsearch tasks` lists, or the dotted path of your own LightningModule.
`actsearch search TASK --help` has the options that matter, --help-all every one: of the search, the
task, its data and the trainer."""


def run(arguments: list[str]) -> int:
    """Run the command."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(SEARCH_USAGE)
        return 0 if arguments else 2
    if arguments[0].startswith("-"):
        raise InvalidValueError(
            f"TASK must come first, but got {arguments[0]!r}. Write: actsearch search TASK"
            " [options]."
        )
    task = arguments[0]
    data, rest = take_data(arguments[1:])
    measures, rest = take_measures(rest)
    flags, rest = take_flags(("help", "help-all", "dry-run", "quiet", "verbose"), rest)
    # All that can be told without importing what trains: that takes seconds.
    known = KnownOptions.of(task, data)
    words = canonical_words(rest, known.flags)
    known.check(words, f"actsearch search {task}")
    if "help" in flags or "-h" in words:
        print(known.short_help(task))
        return 0

    asked = "help-all" in flags or any(word.startswith("--print_config") for word in words)
    if not asked:
        from actsearch.search.executors.server import fork_server

        fork_server()  # before anything else: what a training needs is imported once for both
    from jsonargparse import ArgumentError

    from actsearch.search.training.target import Target, option_error

    target = Target.resolve(task, data)
    parser = _parser(task, target)
    if "help-all" in flags:
        print(_help_all(parser))
        return 0
    try:
        options = parser.parse_args(words)
    except ArgumentError as error:
        raise InvalidValueError(option_error(error, parser)) from None
    given = {
        key: value for key, value in vars(options).items() if key not in NO_OPTIONS_OF_A_SEARCH
    }
    given["measures"] = merge_options(given["measures"], measures)
    given |= {"data": data, "config": target.freeze(options)}
    if "dry-run" in flags:
        from actsearch.cli.dry_run import dry_run

        dry_run(task, given)
    else:
        _search(task, given, "quiet" in flags, "verbose" in flags)
    return 0


def _search(task: str, given: dict[str, Any], quiet: bool, verbose: bool) -> None:
    from actsearch.cli.show import print_result, print_study
    from actsearch.run import run_search
    from actsearch.tracking.progress import Progress

    store, record = given["store"], given["record"]
    with Progress(quiet, verbose) as shown:
        try:
            result = run_search(
                task,
                given.pop("space"),
                **given,
                listeners=[shown],
                progress=shown.confirming,
            )
        except StudyError:
            shown.__exit__()
            # What was found is not lost with a confirmation.
            if shown.run is not None and shown.has_searched and not quiet:
                print_study(shown.run)
            raise
    print_result(result, store, record, quiet)


def _parser(task: str, target: Target) -> ArgumentParser:
    """Return the parser of all options."""
    from jsonargparse import ArgumentParser

    from actsearch.run_options import RunOptions
    from actsearch.search.study.config import StudyConfig

    parser = ArgumentParser(
        prog=f"actsearch search {task}",
        exit_on_error=False,
        allow_abbrev=False,
        description=(
            "Search, then confirm. A LightningDataModule is given by --data CLASS, and its options"
            " by --data.*. What is a list may be given repeatedly: --objective A --objective B."
        ),
    )
    parser.add_argument("--config", action="config", help="read options from a YAML file")
    parser.add_class_arguments(RunOptions)
    parser.add_class_arguments(StudyConfig, skip=set(GIVEN))
    target.add_options(parser)
    parser.set_defaults(target.default("search_defaults", {}))
    return parser


def _help_all(parser: ArgumentParser) -> str:
    """Return the whole help without markup, each option as it is written."""
    from actsearch.cli.declared import plain

    for name, option in SHOWN.items():
        if name not in ("config", "data", *PARSER_S_OWN):
            parser.add_argument(f"--{name}", action="store_true", help=option.help)
    text = plain(parser.format_help())
    return re.sub(r"--([a-z_]+)(?![\w.])", lambda match: written(match[1]), text).rstrip()
