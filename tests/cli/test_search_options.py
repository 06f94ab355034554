"""Options of a search: told, listed and refused before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args, get_type_hints

import pytest

from actsearch.cli.declared import class_in, declared
from actsearch.cli.options import canonical_words
from actsearch.cli.search_options import GROUPS, KnownOptions
from actsearch.errors import InvalidValueError
from actsearch.search.samplers.by_name import PRUNERS, SAMPLERS
from actsearch.search.study.config import StudyConfig
from actsearch.search.training.target import Target
from actsearch.task.plugins import members

HEAVY = ("torch", "optuna", "mlflow", "lightning", "jsonargparse", "sklearn")


COMMANDS = (
    "search classification --trails 3",
    "search clasification",
    "search classification --help",
    "search classification --trainer.max_epoch 3",
    "completion fsh",
    "export nothing",
    "confirm",
    "sites classification --task.hiden 3",
    "activations --whre",
    "tasks",
)
CHECK = f"""
import contextlib, io, sys
from actsearch.cli.main import main
for command in {COMMANDS!r}:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main(command.split())
    print(command, *[name for name in {HEAVY!r} if name in sys.modules], sep=": ")
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["studies"])
print("studies", *[name for name in ("torch", "mlflow", "lightning") if name in sys.modules])
"""


def test_nothing_heavy_is_imported():
    done = subprocess.run(
        [sys.executable, "-c", CHECK], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == [*COMMANDS, "studies"]
    assert len(done.stderr.splitlines()) == len(COMMANDS) - 2, "all but help and tasks are refused"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trails", "3"], "unknown option '--trails'; nearest: --trials"),
        (
            ["--trainer.max_epoch", "3"],
            "unknown option '--trainer.max_epoch'; nearest: --trainer.max_epochs",
        ),
        (["--task.hiden=3"], "unknown option '--task.hiden'; nearest: --task.hidden"),
        (["--mode", "maximize"], "unknown mode 'maximize'; nearest: max"),
        (["--sampler", "tpee"], "unknown sampler 'tpee'; nearest: tpe"),
        (["--task.backbone", "mlpp"], "unknown task.backbone 'mlpp'; nearest: mlp"),
        (["--trials", "many"], "option \"trials\" must be a whole number, but got 'many'"),
        (["--require"], "--require must have a value, but nothing follows it"),
        (
            ["--objective", "[a:max", "--objective", "b:max"],
            "a list must read [A, B], but got '[a:max'",
        ),
    ],
)
def test_refused_in_one_line(words, message, actsearch):
    told = actsearch("search", "classification", *words)
    assert (told.returncode, told.stdout) == (2, "")
    assert message in told.stderr
    assert len(told.stderr.splitlines()) == 1


@pytest.mark.parametrize("task", ["classification", "flow", "coordinate", "spiking", "potential"])
def test_what_is_read_is_what_the_parser_has(task):
    known = KnownOptions.of(task)
    keys = {f"--{key}" for key in Target.resolve(task).parser().get_defaults().as_flat().__dict__}
    read = {name for name in known.names() if "." in name}
    assert {key for key in keys if key.count(".") == 1} <= read
    assert not {name for name in read if not any(key.startswith(name) for key in keys)}


def test_the_source_of_every_task_is_found():
    for task in members("tasks"):
        found = declared(class_in(f"actsearch_tasks.{task}"))
        assert found.whole, task
        assert all(option.help for option in found.options.values()), task
        assert found.values["monitor"], task


def test_own_modules_are_read_as_well(own):
    known = KnownOptions.of("own.Own")
    assert known.parts["task"].options["width"].help == "hidden width."
    assert known.parts["task"].summary == "A user's own module, with plain activations."
    assert declared("nowhere.Own") is None
    known.check(["--task.width", "3", "--data.anything", "3"], "actsearch")


def test_choices_are_those_that_there_are():
    hints = get_type_hints(StudyConfig)
    assert set(get_args(hints["sampler"])) == set(SAMPLERS)
    assert set(get_args(hints["pruner"])) == set(PRUNERS)
    assert set(sum(GROUPS.values(), ())) <= set(KnownOptions.of("").own.options)


def test_short_help_is_grouped_and_plain(actsearch):
    shown = actsearch("search", "spiking", "--help").stdout
    assert shown.startswith("usage: actsearch search spiking [options]")
    assert "What is searched:\n  --space VALUE" in shown
    assert "--sampler function_space|tpe|random" in shown
    assert "--mode min|max" in shown
    assert "--task.decay X" in shown
    assert "--trainer.max_epochs N        epochs of a training (default: 20)" in shown
    assert not any(markup in shown for markup in ("``", ":math:", "\\", "_rate "))
    assert len(shown.splitlines()) < 100


def test_whole_help_has_every_option_in_one_style(actsearch):
    shown = actsearch("search", "classification", "--help-all").stdout
    for option in ("--seeds-per-trial", "--task.privacy", "--trainer.accelerator", "--dry-run"):
        assert option in shown
    assert "--learning_rate" not in shown
    assert "``" not in shown


def test_options_may_be_repeated_or_lists():
    words = ["--objective", "a:max", "--require=x <= 1", "--objective", "[b, c:min]"]
    assert canonical_words(words, ()) == [
        '--objectives=["a:max", "b", "c:min"]',
        '--require=["x <= 1"]',
    ]
    alone = canonical_words(["--measures", '{"a": {"b": 1}}', "--require", "[x <= 1, y > 2]"], ())
    assert alone == ['--measures={"a": {"b": 1}}', "--require=[x <= 1, y > 2]"]
    dashed = canonical_words(["--task.batch-size", "3", "--learn_from=first"], ())
    assert dashed == ["--task.batch_size", "3", '--learn_from=["first"]']
    with pytest.raises(InvalidValueError, match="nothing follows it"):
        canonical_words(["--objective"], ())


def test_repeated_options_reach_the_study(actsearch):
    words = ["--objective", "val_accuracy", "--objective", "cost:min", "--measure", "isotropy"]
    shown = actsearch("search", "classification", *words, "--print_config").stdout
    assert "objectives:\n- val_accuracy\n- cost:min\n" in shown
    assert "measures:\n- isotropy\n" in shown
