"""One tree of errors: what was wrong, the value, the rule and the way out, in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_SHOWN = 20
"""Known names that a message lists where none is near; more do not help."""


LONGEST_MESSAGE = 2000
"""Characters of a message, which may repeat what a file of somebody else's holds."""


def printable(text: str) -> str:
    r"""Return a text without what a terminal would obey, such as a name with escape sequences.

    >>> printable("a\x1b[31mb")
    'a?[31mb'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def _shortened(text: str) -> str:
    """Return a text whose middle is left out where nobody would read it all.

    >>> len(_shortened("a" * 1_000_000)) <= LONGEST_MESSAGE
    True
    """
    if len(text) <= LONGEST_MESSAGE:
        return text
    head, tail = 3 * LONGEST_MESSAGE // 5, LONGEST_MESSAGE // 4
    left_out = len(text) - head - tail
    return f"{text[:head]} ... ({left_out:,} characters left out) ... {text[-tail:]}"


class ActsearchError(Exception):
    """Anything that a user can put right.

    The command line prints its one line and exits with code 2.
    """

    def __str__(self) -> str:
        return _shortened(str(self.args[0]) if self.args else "")


class InvalidValueError(ActsearchError, ValueError):
    """A value breaks a stated rule."""


class UnknownNameError(ActsearchError, KeyError):
    """A name that nothing is registered under; the message suggests the nearest."""

    @classmethod
    def among(
        cls, what: str, name: str, known: Iterable[str], way_out: str = ""
    ) -> UnknownNameError:
        """Build the message from the names that exist.

        >>> print(UnknownNameError.among("activation", "rleu", ["relu", "elu"]))
        unknown activation 'rleu'; nearest: relu, elu
        """
        choices = sorted(known)
        lower = {choice.lower(): choice for choice in choices}
        nearest = [
            lower[near] for near in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)
        ]
        if nearest:
            hint = f"nearest: {', '.join(nearest)}"
        elif len(choices) <= MOST_SHOWN:
            hint = f"known: {', '.join(choices) or 'none'}"
        else:
            hint = f"none of the {len(choices)} known is near"
        return cls(f"unknown {what} {name!r}; {hint}{'. ' + way_out if way_out else ''}")


class RequirementError(ActsearchError, ValueError):
    """An activation does not have the properties that a site requires."""


class PlacementError(ActsearchError, ValueError):
    """A placement does not fit the model that it is applied to, or its file is not one."""


class SearchSpaceError(ActsearchError, ValueError):
    """A search space is not valid, or fits no site of the model."""


class StudyError(ActsearchError, RuntimeError):
    """A study cannot be opened, resumed or confirmed as asked."""


class TaskError(ActsearchError, RuntimeError):
    """A task cannot be found, built, or run."""


class MeasureError(ActsearchError, RuntimeError):
    """A measure cannot be found, or the model does not have what it needs."""


class ExportError(ActsearchError, RuntimeError):
    """A model cannot be written in the form that is asked for."""


class ActsearchWarning(UserWarning):
    """Something that a user should know, and that has cost nothing yet.

    The command line prints its one line.
    """
