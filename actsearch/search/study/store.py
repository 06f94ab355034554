"""Where studies live: a record of them, and a folder with MLflow's mirror and files of each."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import shutil
import sqlite3
import weakref
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from actsearch.errors import InvalidValueError, StudyError, UnknownNameError
from actsearch.search.study.kept_files import bring_files
from actsearch.search.study.owners_cache import OwnersCache
from actsearch.search.study.postgresql_record import PostgresqlRecord
from actsearch.search.study.record_url import RECORD_VARIABLE, chosen_record
from actsearch.search.study.sqlite_record import SqliteRecord

NEEDED_BYTES = 100_000_000
"""Of free disk, without which no study is begun or resumed."""

READING_BYTES = 1_000_000
"""Of free disk, without which the record is read without a word to those who write."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What the system says of a disk that takes no more."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_UNFINISHED = re.compile(r"\.(weights\.[a-z0-9_]{8}|.+\.[0-9a-f]{12})")
"""Names of files that are given their own once they are whole."""


class Store:
    """A folder of studies, and their record.

    Args:
        root: the folder; it is made when the first study is created, not before.
        record: URL of a PostgreSQL database that has the record; else the environment's
            ``ACTSEARCH_RECORD``; else it is a file of SQLite in the folder.

    Attributes:
        record: Optuna's database.
        writes: how often this has written to the record.

    Raises:
        InvalidValueError: a folder that is a URL, which may hold a password, or what no path can
            be; or a record that is no URL of PostgreSQL.

    Layout:
        ``optuna.db`` the record, unless it is elsewhere; ``mlflow.db`` and ``artifacts/`` the
        mirror; ``studies/<name>/`` files of one study.
    """

    def __init__(self, root: str | Path = "mlruns", record: str = "") -> None:
        scheme, is_url, _ = str(root).partition("://")
        if is_url or "\0" in str(root):
            given = f"a URL of {scheme!r}" if is_url else repr(root)
            raise InvalidValueError(f"the store must be a folder, but got {given}. Pass --store.")
        self.root = Path(root).expanduser().absolute()
        url = chosen_record(record)
        self.record = PostgresqlRecord(url) if url else SqliteRecord(self.root / "optuna.db")
        self.writes = 0
        self._storage: OwnersCache | None = None
        self._owned: dict[str, object] = {}

    @property
    def is_shared(self) -> bool:
        """Whether other machines may have the record, and not this folder."""
        return isinstance(self.record, PostgresqlRecord)

    def folder(self, study: str) -> Path:
        """Return the folder of a study's files."""
        return self.root / "studies" / check_name(study)

    def storage(self, create: bool = False) -> OwnersCache:
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
                    f"{self} must be a store of studies, but holds none. Run a search first,"
                    f" or pass --store{' or --record' * self.is_shared}."
                )
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            with self.guarded():
                to_write = create or self.is_shared or self.is_writable
                opened = self.record.open(create) if to_write else self.record.open_to_read()
            self._storage = OwnersCache(opened, self._owned)
            this = weakref.ref(self)  # else neither would ever go
            event.listen(
                self._storage.engine, "after_cursor_execute", lambda *told: _count(this(), told[2])
            )
        return self._storage

    @property
    def is_writable(self) -> bool:
        """Whether the folder can be written and its disk has the room that even a reader needs."""
        return os.access(self.root, os.W_OK) and shutil.disk_usage(self.root).free >= READING_BYTES

    @property
    def record_option(self) -> str:
        """What names the record in a command, behind the other options."""
        named = self.is_shared and not os.environ.get(RECORD_VARIABLE)
        return f" --record {shlex.quote(str(self.record))}" if named else ""

    def __str__(self) -> str:
        return str(self.record if self.is_shared else self.root)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Tell in one line what a disk or a damaged record does to those who use the store.

        Raises:
            StudyError: the disk is full or cannot be written, or the record cannot be read.
        """
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, StorageInternalError) as error:
            raise StudyError(self.record.complaint(error)) from error
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise StudyError(
                f"the store {self.root} must be on a disk with room, but: {error.strerror}"
                f" ({error.filename}). Make room; the same call goes on where it stood."
            ) from error

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
        if self._storage is None and not self.record.exists():
            return []
        with self.guarded():
            return sorted(optuna.get_all_study_names(self.storage()))

    def load(self, name: str) -> optuna.Study:
        """Open a study that exists.

        Raises:
            UnknownNameError: there is none of that name; the message has the nearest.
        """
        if name not in self.names():
            raise UnknownNameError.among("study", name, self.names(), f"The store is {self}.")
        with self.guarded():
            study = optuna.load_study(study_name=name, storage=self.storage())
            if self.is_shared:
                bring_files(study, self.folder(name))
        return study

    def owns(self, name: str) -> bool:
        """Whether this alone writes to a study now, so that :attr:`writes` tells of each change."""
        return name in self._owned

    @contextlib.contextmanager
    def owned(self, name: str, needed: int = NEEDED_BYTES) -> Iterator[None]:
        """Hold a study for this process alone.

        It is given up when the process dies, however it dies.

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
        with self.record.owned(name, folder):
            for left in folder.rglob(".*"):  # by a process that was killed while it wrote
                if _UNFINISHED.fullmatch(left.name):
                    left.unlink()
            self._owned[name] = object()
            self.writes += 1  # what others wrote before
            try:
                yield
            finally:
                del self._owned[name]

    def hold(self, name: str) -> None:
        """Make sure that a study which this owns was not taken from it.

        Raises:
            StudyError: another process has taken it up.
        """
        if name in self._owned:
            self.record.hold(name)

    def is_running(self, name: str) -> bool:
        """Whether a process runs a study now."""
        return self.owns(name) or self.record.is_running(name, self.folder(name))


def check_name(name: str) -> str:
    """Return a study's name, or raise: it becomes a folder's name."""
    if not _NAME.fullmatch(name):
        raise InvalidValueError(
            f"a study's name must be 1 to 100 letters, digits, '.', '_' or '-', but got {name!r}."
        )
    return name


def _count(store: Store | None, statement: str) -> None:
    if store is not None:
        store.writes += not statement.startswith("SELECT")
