"""``actsearch search TASK``: search, confirm, and hand back the two lines."""

from __future__ import annotations

from typing import get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from actsearch.cli.options import canonical_words, merge_options, take_data, take_measures
from actsearch.errors import InvalidValueError
from actsearch.search.executors.server import fork_server

GIVEN = ("task", "data", "model", "config", "space_content")
"""Options of a study that the command has by other means."""

NO_OPTIONS_OF_A_SEARCH = ("config", "task", "data", "trainer")
"""What the parser has besides the options of a search."""

SEARCH_USAGE = """usage: actsearch search TASK [options]

TASK is a name that `actsearch tasks` lists, or the dotted path of your own LightningModule.
`actsearch search TASK --help` lists every option, of the task, its data and the trainer too."""


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

    if not {"-h", "--help", "--print_config"}.intersection(rest):
        fork_server()  # before anything else: what a training needs is imported once for both
    from actsearch.search.study.config import StudyConfig
    from actsearch.search.training.target import Target, option_error

    flags = {name for name, kind in get_type_hints(StudyConfig).items() if kind is bool}
    flags.add("accept_changes")
    target = Target.resolve(task, data)
    parser = build_parser(task)
    target.add_options(parser)
    parser.set_defaults(target.default("search_defaults", {}))
    try:
        options = parser.parse_args(canonical_words(rest, flags))
    except ArgumentError as error:
        raise InvalidValueError(option_error(error, parser)) from None

    from actsearch.cli.show import print_result
    from actsearch.run import run_search
    from actsearch.tracking.progress import Progress

    given = {
        key: value for key, value in vars(options).items() if key not in NO_OPTIONS_OF_A_SEARCH
    }
    given["measures"] = merge_options(given["measures"], measures)
    with Progress() as shown:
        result = run_search(
            task,
            given.pop("space"),
            **given,
            data=data,
            config=target.freeze(options),
            listeners=[shown],
            progress=shown.confirming,
        )
    print_result(result, options.store)
    return 0


def build_parser(task: str) -> ArgumentParser:
    """Return the parser of the search's own options."""
    from actsearch.run import RunOptions
    from actsearch.search.study.config import StudyConfig

    parser = ArgumentParser(
        prog=f"actsearch search {task}",
        exit_on_error=False,
        description=(
            "Search, then confirm. A LightningDataModule is given by --data CLASS, and its options"
            " by --data.*."
        ),
    )
    parser.add_argument("--config", action="config", help="read options from a YAML file")
    parser.add_class_arguments(RunOptions)
    parser.add_class_arguments(StudyConfig, skip=set(GIVEN))
    return parser
