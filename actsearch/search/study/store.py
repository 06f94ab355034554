"""Where studies live: a folder with Optuna's record, MLflow's mirror, and files of each study."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import RDBStorage
from sqlalchemy import event

from actsearch.errors import InvalidValueError, StudyError, UnknownNameError

NEEDED_BYTES = 100_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Store:
    """A folder of studies.

    Args:
        root: the folder; it is made when the first study is created, not before.

    Attributes:
        writes: how often this has written to the record.

    Layout:
        ``optuna.db`` the record; ``mlflow.db`` and ``artifacts/`` the mirror; ``studies/<name>/``
        files of one study.
    """

    def __init__(self, root: str | Path = "mlruns") -> None:
        self.root = Path(root).expanduser().absolute()
        self.writes = 0
        self._storage: RDBStorage | None = None
        self._owned: set[str] = set()

    @property
    def record(self) -> Path:
        """Optuna's database."""
        return self.root / "optuna.db"

    def folder(self, study: str) -> Path:
        """Return the folder of a study's files."""
        return self.root / "studies" / check_name(study)

    def storage(self, create: bool = False) -> RDBStorage:
        """Open the record.

        Raises:
            StudyError: there is none yet and ``create`` is false, or the disk is nearly full.
        """
        if self._storage is None:
            if not create and not self.record.exists():
                raise StudyError(
                    f"{self.root} must be a store of studies, but holds none. Run a search first,"
                    " or pass --store."
                )
            self._check_writable()
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            with FileLock(self.root / ".create.lock"):
                write_ahead(self.record)
                self._storage = RDBStorage(
                    f"sqlite:///{self.record}",
                    engine_kwargs={"connect_args": {"timeout": 60, "factory": Record}},
                )
            event.listen(self._storage.engine, "after_cursor_execute", self._count)
        return self._storage

    def _count(self, connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        self.writes += not statement.startswith("SELECT")

    def _check_writable(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(
                f"the store {self.root} must be a folder that can be written, but:"
                f" {error.strerror}. Pass --store."
            ) from None
        if not os.access(self.root, os.W_OK):
            raise StudyError(
                f"the store {self.root} must be a folder that can be written, but is read-only."
                " Pass --store."
            )
        if (free := shutil.disk_usage(self.root).free) < NEEDED_BYTES:
            raise StudyError(
                f"the store {self.root} must have {NEEDED_BYTES >> 20} MB of free disk, but has"
                f" {free >> 20} MB."
            )

    def names(self) -> list[str]:
        """Return the studies of the store."""
        return sorted(optuna.get_all_study_names(self.storage())) if self.record.exists() else []

    def load(self, name: str) -> optuna.Study:
        """Open a study that exists.

        Raises:
            UnknownNameError: there is none of that name; the message has the nearest.
        """
        if name not in self.names():
            raise UnknownNameError.among("study", name, self.names(), f"The store is {self.root}.")
        return optuna.load_study(study_name=name, storage=self.storage())

    def owns(self, name: str) -> bool:
        """Whether this alone writes to a study now, so that :attr:`writes` tells of each change."""
        return name in self._owned

    @contextlib.contextmanager
    def owned(self, name: str) -> Iterator[None]:
        """Hold a study for this process alone.

        The operating system gives it up when the process dies, however it dies.

        Raises:
            StudyError: another process runs the study; the message says which.
        """
        folder = self.folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        stamp = folder / "owner.json"
        lock = FileLock(folder / ".owner.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            owner = json.loads(stamp.read_text()) if stamp.exists() else {}
            who = f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('since')}"
            raise StudyError(
                f"study {name!r} must be run by one process at a time, but {who} runs it. Wait, or"
                " stop it."
            ) from None
        try:
            stamp.write_text(json.dumps(_owner()))
            self._owned.add(name)
            yield
        finally:
            self._owned.discard(name)
            stamp.unlink(missing_ok=True)
            lock.release()


class Record(sqlite3.Connection):
    """A connection to the record that leaves it to the system when a commit reaches the disk.

    A killed process loses nothing. After a power cut the last trials may be missing, and are run
    again to the same end.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA synchronous=NORMAL")


def write_ahead(database: Path) -> None:
    """Let a database's readers and its one writer never wait for each other.

    The file keeps the setting.
    """
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def check_name(name: str) -> str:
    """Return a study's name, or raise: it becomes a folder's name."""
    if not _NAME.fullmatch(name):
        raise InvalidValueError(
            f"a study's name must be 1 to 100 letters, digits, '.', '_' or '-', but got {name!r}."
        )
    return name


def _owner() -> dict[str, Any]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "host": socket.gethostname(),
        "boot": boot.read_text().strip() if boot.exists() else "",
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
