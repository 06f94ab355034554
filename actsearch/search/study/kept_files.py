"""A study's small files, which a shared record keeps as well, for machines that lack its folder."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import optuna

from actsearch.errors import ActsearchWarning

if TYPE_CHECKING:
    from actsearch.search.study.record import StudyRun

BEST, CANDIDATE = "best.json", "candidate.json"
"""The placement file of a study with a winner, and of one without: the best that was found."""

CONFIRMATION = "confirmation.json"
"""What a confirmation has measured."""

_ATTRIBUTE = "actsearch.file."


def keep_file(run: StudyRun, name: str, text: str) -> Path:
    """Write a file of a study, first into the record where others share that.

    Raises:
        StudyError: another process has taken the study up.
    """
    if run.store.is_shared:
        run.study.set_user_attr(_ATTRIBUTE + name, text)
    return _write(run.folder / name, text)


def drop_file(run: StudyRun, name: str) -> None:
    """Remove a file of a study, if there is one."""
    if run.store.is_shared and run.study.user_attrs.get(_ATTRIBUTE + name):
        run.study.set_user_attr(_ATTRIBUTE + name, "")
    (run.folder / name).unlink(missing_ok=True)


def bring_files(study: optuna.Study, folder: Path) -> None:
    """Write what the record has of a study's files, where the folder has it not or otherwise."""
    attributes = study.user_attrs
    for name in (BEST, CANDIDATE, CONFIRMATION):
        text, path = attributes.get(_ATTRIBUTE + name), folder / name
        if text is None:
            continue
        with contextlib.suppress(OSError):  # where nothing can be written, the record can be read
            if not text:
                path.unlink(missing_ok=True)
            elif not path.exists() or path.read_text(encoding="utf-8") != text:
                folder.mkdir(parents=True, exist_ok=True)
                _write(path, text)


def tell_missing_files(run: StudyRun) -> None:
    """Tell which files of a study are on another machine, before it goes on here."""
    if not run.store.is_shared:
        return
    wanted = dict.fromkeys([0, *(trial.number for trial in run.ranked()[:1])])
    ended = {trial.number for trial in run.trials if trial.state.is_finished()}
    lacking = [n for n in wanted if n in ended and not run.weights(n).parent.exists()]
    if lacking:
        warnings.warn(
            f"study {run.name!r} was run elsewhere: {run.folder} lacks the weights, logs and"
            f" pictures of trial {' and '.join(map(str, lacking))}. What needs them trains again."
            " To have them, copy that folder from there, or let --store be one that all see.",
            ActsearchWarning,
            stacklevel=3,
        )


def _write(path: Path, text: str) -> Path:
    from actsearch.placement.files import write_text  # with torch, which a list does without

    return write_text(path, text)
