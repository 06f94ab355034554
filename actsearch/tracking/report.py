"""What a person looks at: a summary in Markdown and pictures, written into the study's folder."""

from __future__ import annotations

from pathlib import Path

from actsearch.placement.placement import write_text
from actsearch.search.confirm import Confirmation
from actsearch.search.study import StudyRun, finished, outcome_of


def write_report(run: StudyRun) -> Path:
    """Write summary and pictures of a study, and return their folder."""
    folder = run.folder / "report"
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "summary.md", summary(run))
    return folder


def summary(run: StudyRun) -> str:
    """Return what a study has found, in Markdown."""
    return f"# {run.name}\n"
