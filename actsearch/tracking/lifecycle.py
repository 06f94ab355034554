"""The runs of a study in MLflow, all of them: found, renamed, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def runs_of(client: Any, experiments: Sequence[str], parent: str) -> list[str]:
    """Return the identities of a study's run and of those below it, its own last.

    Args:
        client: of MLflow.
        experiments: where they are looked for.
        parent: identity of the study's run.
    """
    found: list[str] = []
    token, below = None, f"tags.`mlflow.parentRunId` = '{parent}'"
    while token is None or token:
        page = client.search_runs(experiments, below, max_results=1000, page_token=token)
        found += [run.info.run_id for run in page]
        token = page.token or ""
    return [*found, parent]


def rename_runs(client: Any, experiments: Sequence[str], parent: str, name: str) -> None:
    """Give the runs of a study its new name, its own last: a call that was cut is repeated."""
    for run in runs_of(client, experiments, parent):
        client.set_tag(run, "actsearch.study", name)
    client.update_run(parent, name=name)


def delete_runs(client: Any, identity: str) -> int:
    """Mark the runs of a study as deleted, wherever they are, and return how many.

    Args:
        client: of MLflow.
        identity: of the study, which its run has as a tag.
    """
    places = [one.experiment_id for one in client.search_experiments()]
    parents = client.search_runs(places, f"tags.`actsearch.identity` = '{identity}'")
    runs = [run for one in parents for run in runs_of(client, places, one.info.run_id)]
    for run in runs:
        client.delete_run(run)
    return len(runs)
