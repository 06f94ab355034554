"""Where MLflow finds a store's artifacts: beside its database, wherever the folder is moved."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository


class BesideDatabase(LocalArtifactRepository):
    """Artifacts at ``actsearch:/folder``, which is beside MLflow's SQLite database.

    MLflow keeps absolute paths otherwise, which lead nowhere once the folder is moved or shared. It
    finds this class by its entry point ``mlflow.artifact_repository``, so its own commands read
    these artifacts wherever actsearch is installed.

    Args:
        artifact_uri: ``actsearch:/folder/...``.
        tracking_uri: of the database, ``sqlite:///...``.
        registry_uri: not used.

    Raises:
        MlflowException: the database is no file, or the artifacts would not lie beside it.
    """

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        from mlflow.tracking import get_tracking_uri  # it imports this module while it is made

        # MLflow's server knows its database by this variable alone.
        database = tracking_uri or os.environ.get("_MLFLOW_SERVER_FILE_STORE") or get_tracking_uri()
        scheme, _, path = database.partition(":///")
        if scheme != "sqlite":
            raise MlflowException(
                f"{artifact_uri} must be beside an SQLite database, but MLflow uses {database!r}."
            )
        root = Path(unquote(path)).absolute().parent
        folder = (root / unquote(urlsplit(artifact_uri).path).lstrip("/")).resolve()
        if not folder.is_relative_to(root.resolve()):
            raise MlflowException(f"{artifact_uri} must be inside of {root}, but is not.")
        super().__init__(folder.as_uri(), database, registry_uri)
