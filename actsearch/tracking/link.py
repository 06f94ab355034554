"""The link to MLflow's pages: the table of a study's runs, the best first."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from urllib.parse import quote, urlencode

from actsearch.search.study.record import StudyRun
from actsearch.tracking.client import make_client, server
from actsearch.tracking.runs import clean

PAGES = "http://127.0.0.1:5000"
"""Where ``actsearch ui`` shows MLflow's pages by default."""


def runs_link(run: StudyRun, address: str) -> str:
    """Return the link to the table of a study's runs, sorted by its first objective.

    Without the experiment, which MLflow may not have yet or not tell now, it leads to the pages.

    Args:
        run: the study.
        address: of MLflow's pages.
    """
    own = not os.environ.get("MLFLOW_TRACKING_URI")
    if own and not (run.store.root / "mlflow.db").exists():  # MLflow would make one
        return address
    try:
        found = make_client(run.store).get_experiment_by_name(run.config.task)
    except Exception:  # a database or server that does not answer: MLflow raises what it likes
        found = None
    if found is None:
        return address
    goal = run.config.goals[0]
    query = {
        # Else MLflow 3 opens its pages for language models, which are empty.
        "workflowType": "machine_learning",
        "searchFilter": f"tags.`actsearch.study` = '{run.name}'",
        "orderByKey": f"metrics.`{clean(goal.metric)}`",
        "orderByAsc": str(goal.mode == "min").lower(),
    }
    encoded = urlencode(query, quote_via=quote)
    return f"{address}/#/experiments/{found.experiment_id}/runs?{encoded}"


def pages(run: StudyRun, store: str) -> str:
    """Return how to see a study in MLflow: on its server, or by the command that shows the store.

    Args:
        run: the study.
        store: the store as the user names it.
    """
    if address := server():
        return runs_link(run, address)
    return f"{opening(run.name, store)}{run.store.record_option}    then {runs_link(run, PAGES)}"


def opening(study: str, store: str) -> str:
    """Return where MLflow's pages are, or the command that opens them; without asking MLflow."""
    where = "" if Path(store) == Path("mlruns") else f" --store {shlex.quote(store)}"
    return server() or f"actsearch ui {study}{where}"
