"""The command ``actsearch``: finds a command's file by its name, turns errors into one line."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import shlex
import signal
import sys
import threading
import warnings
from typing import Any, NoReturn

from actsearch.errors import ActsearchError, ActsearchWarning, UnknownNameError, printable
from actsearch.imports import why_broken
from actsearch.search.study.record_url import masked, without_passwords

COMMANDS = {
    "search": "search which activation belongs where, and confirm the best",
    "confirm": (
        "retrain the best of a study beside its baseline, on paired seeds and the test split"
    ),
    "best": "print or write the best placement of a study",
    "studies": "list the studies, the latest first",
    "show": "print a study as a table, and write its pictures",
    "ui": "open MLflow's pages on the store, on this machine alone",
    "sync": "bring over to MLflow what it missed while it was out of reach",
    "export": "write the trials as CSV or JSON, or the best network as ONNX or C",
    "rename": "give a study another name",
    "delete": "remove a study",
    "measure": "compute measures of a trained placement",
    "measures": "list the measures of a trained model",
    "tasks": "list the tasks, or show what one is about",
    "spaces": "list the search spaces, or show one",
    "activations": "list activations with their properties, or show one",
    "sites": "show what would be searched in a model",
    "doctor": "tell whether a search can work here, and what to do where it cannot",
    "completion": "print what lets a shell complete commands and options",
}
HELP = "\n".join(
    [
        "usage: actsearch COMMAND [options]",
        "",
        "Find which activation function belongs where in a neural network.",
        "",
        *(f"  {name:<12} {text}" for name, text in COMMANDS.items()),
        "",
        (
            "actsearch COMMAND --help explains each. Start with: actsearch search classification"
            " --trials 30"
        ),
    ]
)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and exit with its code.

    0 done, 1 our mistake, 2 bad input, 130 or 143 stopped by a signal.
    """
    code = _run(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        _leave(code)
    sys.exit(code)


def _run(given: list[str]) -> int:
    """Run a command and return its code."""
    if given[:1] == ["help"]:
        given = [*given[1:], "--help"]
    if not given or given[0] in ("-h", "--help"):
        print(HELP)
        return 0 if given else 2
    if given[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"actsearch {version('actsearch')}")
        return 0
    signal.signal(signal.SIGTERM, _terminate)
    warnings.showwarning = _show_warning
    try:
        given = without_passwords(given)
        if given[0] not in COMMANDS:
            raise UnknownNameError.among(
                "command", given[0], COMMANDS, "`actsearch --help` explains them."
            )
        return int(importlib.import_module(f"actsearch.cli.{given[0]}").run(given[1:]) or 0)
    except ActsearchError as error:
        print(f"actsearch: {printable(masked(' '.join(str(error).split())))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        if not (told := why_broken(error)):
            raise
        print(f"actsearch: {printable(told)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        again = f" Go on with the same command: actsearch {masked(shlex.join(given))}"
        shown = again if given[0] in ("search", "confirm") else ""
        print(f"\nactsearch: stopped.{shown}", file=sys.stderr)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return int(stop.args[0]) if stop.args else 130


def _leave(code: int) -> NoReturn:
    """End the process when all is done, and spare what the interpreter does after that.

    Threads are waited for, and what was registered for the end is called, as ever; but to take
    torch and MLflow down object by object takes longer than many a command.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading._shutdown()  # type: ignore[attr-defined]  # these two are how every process begins to end
    atexit._run_exitfuncs()
    _close_databases()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError, ValueError):
            stream.flush()
    os._exit(code)


def _close_databases() -> None:
    """Close what is open, so that SQLite puts the last writes from its log into the database."""
    if (engine := sys.modules.get("sqlalchemy.engine")) is None:
        return
    for thing in gc.get_objects():
        if type(thing) is engine.Engine:
            thing.dispose()


def _terminate(number: int, frame: object) -> NoReturn:
    """Treat SIGTERM as Ctrl-C, with its own exit code; a second one ends at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise KeyboardInterrupt(128 + number)


def _show_warning(
    message: Warning | str, category: type[Warning], *where: Any, **more: Any
) -> None:
    """Print our own warnings as one line.

    Those of libraries are no concern of the user of a command.
    """
    if issubclass(category, ActsearchWarning):
        print(f"actsearch: note: {printable(str(message))}", file=sys.stderr)
