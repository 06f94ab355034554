"""MLflow's client as the mirror uses it: it gives up soon, prints nothing, runs no pickle."""

from __future__ import annotations

import logging
import os
from typing import Any

from actsearch.search.study.store import Store

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "2",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # Else two lines are printed for each run that ends on a server.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""MLflow reads these from the environment alone; what the user has set stands."""

for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)


def tracking_uri(store: Store) -> str:
    """Return where the mirror is: ``MLFLOW_TRACKING_URI``, or the store's own database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store.root / 'mlflow.db'}"


def server() -> str:
    """Return the address of the MLflow server that ``MLFLOW_TRACKING_URI`` names, or nothing."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return uri.rstrip("/") if uri.startswith(("http://", "https://")) else ""


def make_client(store: Store) -> Any:
    """Return MLflow's client of a store, its registry of models included."""
    from mlflow import MlflowClient

    silence()
    uri = tracking_uri(store)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def silence() -> None:
    """Let MLflow, which has been imported, log what is an error alone."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It shows what it raises as well, with a traceback; whoever catches that tells it in a line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
