"""Optuna's record in SQLite, in the store's folder: how it is opened, and who owns a study."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock, Timeout
from optuna.storages import RDBStorage

from actsearch.errors import StudyError

STAMP, LOCK = "owner.json", ".owner.lock"
"""In a study's folder, who runs it, and what only one process can hold."""


class SqliteRecord:
    """A file of SQLite.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        """Whether there is one."""
        return self.path.exists()

    def open(self, create: bool) -> RDBStorage:
        """Open it to read and write.

        Args:
            create: whether it is made where there is none; here it always is.
        """
        with FileLock(self.path.parent / ".create.lock"):
            write_ahead(self.path)
            return RDBStorage(
                f"sqlite:///{self.path}",
                engine_kwargs={"connect_args": {"timeout": 60, "factory": Record}},
            )

    def open_to_read(self) -> RDBStorage:
        """Open it where nothing can be written."""
        log = self.path.with_name(f"{self.path.name}-wal")
        unmerged = log.exists() and log.stat().st_size > 0
        record = self._merged(log) if unmerged else self.path
        # Else SQLite wants to make files beside it, to be told of writers.
        return RDBStorage(
            f"sqlite:///file:{quote(str(record))}?mode=ro&immutable=1&uri=true",
            skip_table_creation=True,
        )

    def _merged(self, log: Path) -> Path:
        """Return a copy of the record with what its log has, which the last writer had no room for.

        Without its log it would be an old one, or a broken one.
        """
        folder = Path(tempfile.mkdtemp(prefix="actsearch-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        for file in (self.path, log):
            shutil.copyfile(file, folder / file.name)
        copy = folder / self.path.name
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return copy

    def complaint(self, error: BaseException) -> str:
        """Return what the database has said, and the way out, in one line."""
        told = first_cause(error)
        full = "full" in told or "readonly" in told or "I/O" in told
        way_out = (
            "Make room; the same call goes on where it stood"
            if full
            else "Put back a copy of it, or move it away and begin anew"
        )
        return (
            f"the record {self} must be a database that can be read and written, but:"
            f" {told}. {way_out}."
        )

    @contextlib.contextmanager
    def owned(self, study: str, folder: Path) -> Iterator[None]:
        """Hold a study for this process alone.

        The operating system gives it up when the process dies, however it dies.

        Args:
            study: its name.
            folder: of its files.

        Raises:
            StudyError: another process runs the study, and the message says which.
        """
        stamp = folder / STAMP
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            owner = json.loads(stamp.read_text()) if stamp.exists() else {}
            who = f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('since')}"
            raise StudyError(
                f"study {study!r} must be run by one process at a time, but {who} runs it. Wait, or"
                " stop it."
            ) from None
        try:
            stamp.write_text(json.dumps(_owner()))
            yield
        finally:
            stamp.unlink(missing_ok=True)
            lock.release()

    def is_running(self, study: str, folder: Path) -> bool:
        """Whether another process runs a study now.

        The lock tells: the stamp stays where a process was killed.
        """
        if not (folder / STAMP).exists():
            return False
        try:
            with FileLock(folder / LOCK, timeout=0):
                return False
        # Or a store that is read-only here, and may be written elsewhere.
        except (Timeout, OSError):
            return True

    def hold(self, study: str) -> None:
        """Do nothing: a lock of the operating system is not lost."""


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


def first_cause(error: BaseException) -> str:
    """Return what the database itself has said, in one line."""
    while (cause := getattr(error, "orig", None) or error.__cause__) is not None:
        error = cause
    return " ".join(str(error).split())


def _owner() -> dict[str, Any]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "host": socket.gethostname(),
        "boot": boot.read_text().strip() if boot.exists() else "",
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
