"""Where studies live: a folder with Optuna's record, MLflow's mirror, and files of each study."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
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

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from actsearch.errors import InvalidValueError, StudyError, UnknownNameError

NEEDED_BYTES = 100_000_000
"""Of free disk, without which no study is begun or resumed."""

READING_BYTES = 1_000_000
"""Of free disk, without which the record is read without a word to those who write."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What the system says of a disk that takes no more."""

STAMP, LOCK = "owner.json", ".owner.lock"
"""In a study's folder, who runs it, and what only one process can hold."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_UNFINISHED = re.compile(r"\.(weights\.[a-z0-9_]{8}|.+\.[0-9a-f]{12})")
"""Names of files that are given their own once they are whole."""


class Store:
    """A folder of studies.

    Args:
        root: the folder; it is made when the first study is created, not before.

    Attributes:
        writes: how often this has written to the record.

    Raises:
        InvalidValueError: a URL, which may hold a password, or what no path can be.

    Layout:
        ``optuna.db`` the record; ``mlflow.db`` and ``artifacts/`` the mirror; ``studies/<name>/``
        files of one study.
    """

    def __init__(self, root: str | Path = "mlruns") -> None:
        scheme, is_url, _ = str(root).partition("://")
        if is_url or "\0" in str(root):
            given = f"a URL of {scheme!r}" if is_url else repr(root)
            raise InvalidValueError(f"the store must be a folder, but got {given}. Pass --store.")
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
        """Open the record, to read alone where nothing can be written.

        Args:
            create: whether studies will be written: makes the record where there is none.

        Raises:
            StudyError: there is none yet and ``create`` is false, it is damaged, or ``create`` is
                true and the folder cannot be written or the disk is nearly full.
        """
        if self._storage is None:
            if create:
                self._check_writable()
            if not create and not self.record.exists():
                raise StudyError(
                    f"{self.root} must be a store of studies, but holds none. Run a search first,"
                    " or pass --store."
                )
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            with self.guarded():
                self._storage = self._open() if create or self.is_writable else self._open_to_read()
            event.listen(self._storage.engine, "after_cursor_execute", self._count)
        return self._storage

    @property
    def is_writable(self) -> bool:
        """Whether the folder can be written and its disk has the room that even a reader needs."""
        return os.access(self.root, os.W_OK) and shutil.disk_usage(self.root).free >= READING_BYTES

    def _open(self) -> RDBStorage:
        with FileLock(self.root / ".create.lock"):
            write_ahead(self.record)
            return RDBStorage(
                f"sqlite:///{self.record}",
                engine_kwargs={"connect_args": {"timeout": 60, "factory": Record}},
            )

    def _open_to_read(self) -> RDBStorage:
        log = self.record.with_name(f"{self.record.name}-wal")
        unmerged = log.exists() and log.stat().st_size > 0
        record = self._merged(log) if unmerged else self.record
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
        for file in (self.record, log):
            shutil.copyfile(file, folder / file.name)
        copy = folder / self.record.name
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return copy

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Tell in one line what a disk or a damaged record does to those who use the store.

        Raises:
            StudyError: the disk is full or cannot be written, or the record cannot be read.
        """
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, StorageInternalError) as error:
            told = _first_cause(error)
            full = "full" in told or "readonly" in told or "I/O" in told
            way_out = (
                "Make room; the same call goes on where it stood"
                if full
                else "Put back a copy of it, or move it away and begin anew"
            )
            raise StudyError(
                f"the record {self.record} must be a database that can be read and written, but:"
                f" {told}. {way_out}."
            ) from error
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise StudyError(
                f"the store {self.root} must be on a disk with room, but: {error.strerror}"
                f" ({error.filename}). Make room; the same call goes on where it stood."
            ) from error

    def _count(self, connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        self.writes += not statement.startswith("SELECT")

    def _check_writable(self, needed: int = NEEDED_BYTES) -> None:
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
        if (free := shutil.disk_usage(self.root).free) < needed:
            raise StudyError(
                f"the store {self.root} must have {needed >> 20} MB of free disk, but has"
                f" {free >> 20} MB."
            )

    def names(self) -> list[str]:
        """Return the studies of the store."""
        if not self.record.exists():
            return []
        with self.guarded():
            return sorted(optuna.get_all_study_names(self.storage()))

    def load(self, name: str) -> optuna.Study:
        """Open a study that exists.

        Raises:
            UnknownNameError: there is none of that name; the message has the nearest.
        """
        if name not in self.names():
            raise UnknownNameError.among("study", name, self.names(), f"The store is {self.root}.")
        with self.guarded():
            return optuna.load_study(study_name=name, storage=self.storage())

    def owns(self, name: str) -> bool:
        """Whether this alone writes to a study now, so that :attr:`writes` tells of each change."""
        return name in self._owned

    @contextlib.contextmanager
    def owned(self, name: str, needed: int = NEEDED_BYTES) -> Iterator[None]:
        """Hold a study for this process alone.

        The operating system gives it up when the process dies, however it dies.

        Args:
            name: of the study.
            needed: bytes of free disk, without which it is not begun.

        Raises:
            StudyError: another process runs the study, and the message says which; or the folder
                cannot be written, or the disk is nearly full.
        """
        self._check_writable(needed)
        folder = self.folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        stamp = folder / STAMP
        lock = FileLock(folder / LOCK, timeout=0)
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
            for left in folder.rglob(".*"):  # by a process that was killed while it wrote
                if _UNFINISHED.fullmatch(left.name):
                    left.unlink()
            self._owned.add(name)
            yield
        finally:
            self._owned.discard(name)
            stamp.unlink(missing_ok=True)
            lock.release()

    def is_running(self, name: str) -> bool:
        """Whether a process runs a study now.

        The lock tells: the stamp stays where a process was killed.
        """
        folder = self.folder(name)
        if self.owns(name) or not (folder / STAMP).exists():
            return self.owns(name)
        try:
            with FileLock(folder / LOCK, timeout=0):
                return False
        except (
            Timeout,
            OSError,
        ):  # or a store that is read-only here, and may be written elsewhere
            return True


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


def _first_cause(error: BaseException) -> str:
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
