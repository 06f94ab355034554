"""``actsearch search TASK``: search, confirm, and hand back the two lines."""

from __future__ import annotations

from jsonargparse import ArgumentError, ArgumentParser

from actsearch.cli.options import take_data
from actsearch.errors import InvalidValueError
from actsearch.search.executors.executor import start_server

USAGE = """usage: actsearch search TASK [options]

TASK is a name that `actsearch tasks` lists, or the dotted path of your own LightningModule.
`actsearch search TASK --help` lists every option, the task's, its data's and the trainer's included."""


def run(arguments: list[str]) -> int:
    """Run the command."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    if arguments[0].startswith("-"):
        raise InvalidValueError(
            f"TASK must come first, but got {arguments[0]!r}. Write: actsearch search TASK"
            " [options]."
        )
    task = arguments[0]
    data, rest = take_data(arguments[1:])

    if not {"-h", "--help", "--print_config"}.intersection(rest):
        start_server()  # before this process imports what takes seconds
    from actsearch.search.training.target import Target, option_error

    target = Target.resolve(task, data)
    parser = build_parser(task)
    target.add_options(parser)
    try:
        options = parser.parse_args(rest)
    except ArgumentError as error:
        raise InvalidValueError(option_error(error, parser)) from None

    from actsearch.cli.progress import Progress
    from actsearch.run import run_search

    with Progress() as shown:
        result = run_search(
            task,
            options.space or None,
            trials=options.trials,
            store=options.store,
            study=options.study,
            jobs=options.jobs,
            executor=options.executor,
            trial_timeout=options.trial_timeout,
            time=options.time,
            warm_start=options.warm_start,
            confirm=options.confirm,
            seeds=options.seeds,
            listeners=[shown],
            progress=shown.confirming,
            data=data,
            config=target.freeze(options),
            monitor=options.monitor,
            mode=options.mode,
            objectives=options.objective,
            test_metric=options.test_metric,
            sampler=options.sampler,
            pruner=options.pruner,
            fidelity=options.fidelity,
            learning_rate=options.learning_rate,
            learn_from=options.learn_from,
            experience=options.experience == "on",
            score=options.score,
            split_option=options.split_option,
            seed=options.seed,
            force=options.force,
            include_gates=options.include_gates,
            granularity=options.granularity,
            require=options.require,
        )

    from actsearch.cli.show import print_result

    print_result(result, options.store)
    return 0


def build_parser(task: str) -> ArgumentParser:
    """Return the parser of the search's own options."""
    parser = ArgumentParser(
        prog=f"actsearch search {task}",
        exit_on_error=False,
        description=(
            "Search, then confirm. A LightningDataModule is given by --data CLASS, and its options"
            " by --data.*."
        ),
    )
    add = parser.add_argument
    add("--config", action="config", help="read options from a YAML file")
    add(
        "--space",
        type=str,
        default="",
        help="a search space by name or file (default: the task's own)",
    )
    add(
        "--granularity",
        choices=["", "model", "block", "layer", "staged"],
        default="",
        help="one choice for what; staged is all three in turn (default: the space's)",
    )
    add("--trials", type=int, default=30, help="total trials of the study, the baseline included")
    add(
        "--time",
        type=float | None,
        default=None,
        help="seconds for all, the confirmation included, beside --trials",
    )
    add(
        "--jobs",
        type=int,
        default=1,
        help="trainings at a time; with 1 the same seed gives the same trials",
    )
    add(
        "--sampler",
        type=str,
        default="function_space",
        help="function_space, tpe, random, cmaes, gp, nsga2, qmc",
    )
    add("--pruner", type=str, default="median", help="median, asha, hyperband, none")
    add(
        "--fidelity",
        choices=["epochs", "data", "both"],
        default="epochs",
        help=(
            "what the pruner judges by: epochs, trainings on a ninth and a third of the batches"
            " first, or both"
        ),
    )
    add(
        "--learning_rate",
        "--learning-rate",
        choices=["tuned", "searched", "fixed"],
        default="tuned",
        help=(
            "a factor on the task's own: tuned for the baseline first, searched with the"
            " activations, or left at 1"
        ),
    )
    add(
        "--monitor",
        type=str,
        default="",
        help="the logged metric to optimise (default: the task's own, else val_loss)",
    )
    add(
        "--mode",
        choices=["", "min", "max"],
        default="",
        help="its better direction (default: told by its name)",
    )
    add(
        "--objective",
        type=list[str],
        default=[],
        help="several objectives: METRIC:min or METRIC:max, as a list",
    )
    add(
        "--require",
        type=list[str],
        default=[],
        help="what must hold: facts of activations, or METRIC <= NUMBER; a list",
    )
    add(
        "--test_metric",
        "--test-metric",
        type=str,
        default="",
        help="the metric a confirmation scores on the test split",
    )
    add("--seed", type=int, default=0, help="seed of the search and its trainings")
    add("--store", type=str, default="mlruns", help="folder of the studies")
    add(
        "--study", type=str, default="", help="name of the study; the same command again resumes it"
    )
    add(
        "--warm_start",
        "--warm-start",
        type=str,
        default="",
        help="try the best of this earlier study first",
    )
    add(
        "--learn_from",
        "--learn-from",
        type=list[str],
        default=[],
        help="studies that the sampler learns from; a list",
    )
    add(
        "--experience",
        choices=["on", "off"],
        default="on",
        help="whether function_space begins with what 800 functions did on other problems",
    )
    add(
        "--score",
        choices=["", "last", "best"],
        default="",
        help=(
            "the epoch a training counts with (default: the best where the module keeps its best"
            " weights, else the last)"
        ),
    )
    add(
        "--split_option",
        "--split-option",
        type=str,
        default="",
        help=(
            "the option that seeds the division of the data, so that a confirmation takes new ones "
            "(default: task.split_seed or data.split_seed, where there is one)"
        ),
    )
    add("--confirm", type=int, default=3, help="how many of the best are confirmed; 0 for none")
    add("--seeds", type=int, default=8, help="trainings per arm of the confirmation, on average")
    add(
        "--trial_timeout",
        "--trial-timeout",
        type=float | None,
        default=None,
        help="stop a training after so many seconds",
    )
    add(
        "--executor",
        choices=["local", "inline"],
        default="local",
        help="a process for each training, or this one",
    )
    add(
        "--force",
        type=bool,
        default=False,
        nargs="?",
        const=True,
        help="place activations that a site's requirement refuses",
    )
    add(
        "--include_gates",
        "--include-gates",
        type=bool,
        default=False,
        nargs="?",
        const=True,
        help="search gates as well",
    )
    return parser
