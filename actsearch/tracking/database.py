"""MLflow's database on this machine: made once, whole, without waiting for the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from actsearch.search.study.sqlite_record import write_ahead
from actsearch.tracking.client import silence

DRAFT = ".mlflow."
"""How folders of a database begin that is being made."""

ARTIFACTS = "actsearch:/artifacts"
"""Where a store's artifacts are: in a folder beside the database, wherever both are moved."""


def create_database(root: Path) -> None:
    """Create MLflow's database once, whole.

    A second process, or a kill in its migrations, must not leave half of one.
    """
    database = root / "mlflow.db"
    if database.exists():
        return
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".create.lock"):
        if database.exists():
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        silence()
        for left in root.glob(f"{DRAFT}*"):  # of a process that was killed here
            shutil.rmtree(left, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(dir=root, prefix=DRAFT))
        try:
            with _unsynchronised(draft):
                SqlAlchemyStore(f"sqlite:///{draft / 'mlflow.db'}", ARTIFACTS).engine.dispose()
            write_ahead(draft / "mlflow.db")
            with (draft / "mlflow.db").open("rb") as written:
                os.fsync(written.fileno())
            (draft / "mlflow.db").replace(database)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _unsynchronised(folder: Path) -> Iterator[None]:
    """Spare a folder's databases the wait for the disk at each of MLflow's many migrations."""
    from sqlalchemy import Engine, event

    def relax(connection: Any, _: object) -> None:
        _, _, file = connection.execute("PRAGMA database_list").fetchone()
        if file and folder.samefile(Path(file).parent):
            connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)
