"""The command ``actsearch``: finds a command's file by its name, turns errors into one line."""

from __future__ import annotations

import importlib
import shlex
import signal
import sys
import warnings
from typing import Any, NoReturn

from actsearch.errors import ActsearchError, ActsearchWarning, UnknownNameError, printable
from actsearch.imports import why_broken

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
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        print(HELP)
        sys.exit(0 if given else 2)
    if given[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"actsearch {version('actsearch')}")
        sys.exit(0)
    signal.signal(signal.SIGTERM, _terminate)
    warnings.showwarning = _show_warning
    try:
        if given[0] not in COMMANDS:
            raise UnknownNameError.among(
                "command", given[0], COMMANDS, "`actsearch --help` explains them."
            )
        sys.exit(importlib.import_module(f"actsearch.cli.{given[0]}").run(given[1:]) or 0)
    except ActsearchError as error:
        print(f"actsearch: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if not (told := why_broken(error)):
            raise
        print(f"actsearch: {printable(told)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stop:
        code = stop.args[0] if stop.args else 130
        print(
            f"\nactsearch: stopped. Go on with the same command: actsearch {shlex.join(given)}",
            file=sys.stderr,
        )
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(code)


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
