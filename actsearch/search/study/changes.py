"""What has changed under a study since it was begun, and whether it goes on."""

from __future__ import annotations

from dataclasses import replace

from actsearch.errors import StudyError
from actsearch.search.study.record import MODEL_INFO, StudyRun
from actsearch.search.training.job import ModelInfo

CHANGES = "actsearch.changes"
"""The attribute of a study that tells what changed under it and was accepted."""


def check_unchanged(run: StudyRun, now: ModelInfo, accept: bool = False) -> None:
    """Compare a model, and what its numbers come from, with those that a study began with.

    Args:
        run: the study.
        now: what is seen in the model now.
        accept: note what has changed, and go on.

    Raises:
        StudyError: other sites, which no earlier trial fits; or other code, data or versions.
    """
    then = run.model_info
    if other := sorted({site.name for site in then.sites} ^ {site.name for site in now.sites}):
        raise StudyError(
            f"study {run.name!r} must go on with the sites that it was begun with, but the model"
            f" differs in {', '.join(other[:5])}. Start a new one with --study NAME."
        )
    found = then.origin.differences(now.origin)
    if not found:
        return
    told = "; ".join(found[:5]) + ("; ..." if len(found) > 5 else "")
    if not accept:
        raise StudyError(
            f"study {run.name!r} must go on as it was begun, but: {told}. Its trials may not"
            " compare with new ones: start a new study with --study NAME, or go on all the same"
            " with --accept-changes."
        )
    run.model_info = replace(then, origin=now.origin)
    run.study.set_user_attr(MODEL_INFO, run.model_info.dumps())
    noted = [*accepted_changes(run), f"from trial {len(run.trials)} on: {told}"]
    run.study.set_user_attr(CHANGES, noted)


def accepted_changes(run: StudyRun) -> list[str]:
    """Return what has changed under a study and was accepted, and from which trial on."""
    noted: list[str] = run.study.user_attrs.get(CHANGES, [])
    return noted
