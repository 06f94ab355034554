"""Who runs a study of a shared record: one process at a time, wherever it is."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg

from actsearch.errors import InvalidValueError, StudyError

if TYPE_CHECKING:
    from actsearch.search.study.postgresql_record import PostgresqlRecord

OWNERS = "actsearch_owners"
"""The table that has a row for each study which a process runs."""

BEAT_VARIABLE = "ACTSEARCH_HEARTBEAT"
"""The environment variable that has the seconds between two beats; ten by default."""

MISSED = 6
"""Beats in a row that an owner may miss; after these it is taken for gone."""

_TABLE = """
CREATE TABLE IF NOT EXISTS actsearch_owners (
    study text PRIMARY KEY, token text NOT NULL, host text NOT NULL, pid integer NOT NULL,
    since text NOT NULL, every double precision NOT NULL, beat timestamptz NOT NULL,
    writes bigint NOT NULL
)"""
_TAKE = """
INSERT INTO actsearch_owners VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp(), 0)
ON CONFLICT (study) DO UPDATE SET token = excluded.token, host = excluded.host,
    pid = excluded.pid, since = excluded.since, every = excluded.every, beat = excluded.beat,
    writes = 0"""
_READ = """
SELECT token, host, pid, since, every, extract(epoch FROM clock_timestamp() - beat)::float8
FROM actsearch_owners WHERE study = %s"""
_BEAT = "UPDATE actsearch_owners SET beat = clock_timestamp() WHERE study = %s AND token = %s"
_FENCE = "UPDATE actsearch_owners SET writes = %s WHERE study = %s AND token = %s"
_WRITES = "SELECT writes FROM actsearch_owners WHERE study = %s AND token = %s FOR UPDATE"
_LEAVE = "DELETE FROM actsearch_owners WHERE study = %s AND token = %s"
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
_END_ONE = _END + " AND pid = %s"
_END_LOCKS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s
AND pid <> pg_backend_pid() AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"""
_HELD = """
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) = %s)
AND EXISTS (SELECT FROM actsearch_owners WHERE study = %s
    AND clock_timestamp() - beat < %s * every * interval '1 second')"""


class Ownership:
    """A study that this process holds.

    The server has a lock on a connection of its own, which ends with the process, and a row that
    tells who it is and when it was last heard of. Every transaction that writes to the study writes
    to that row as well (:meth:`fence`). So whoever takes the study up waits for what its last owner
    is just committing, and of all that this one tries to write later nothing is kept.

    Args:
        record: where the study is.
        study: its name.
    """

    def __init__(self, record: PostgresqlRecord, study: str) -> None:
        self.record, self.study = record, study
        self.writes = 0
        self._every = _seconds_between_beats()
        self._key = lock_key(study)
        self._mutex = threading.Lock()
        self._ended = threading.Event()
        self._lost = ""
        self._connection: psycopg.Connection[Any]

    def take(self) -> None:
        """Take the study, and let it be known every few seconds that this process lives.

        Raises:
            StudyError: another process runs it, and was heard of.
        """
        with self.record.connected() as connection:
            self._create_table(connection)
        self._connection = self._connect()
        try:
            if not self._try_lock():
                self._end_silent_owner()
            # What a former owner's other connections are doing ends here.
            row = self._row()
            if row is not None:
                self._end_connections(row[0])
            who = (socket.gethostname(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"))
            self._execute(_TAKE, self.study, self.record.token, *who, self._every)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, psycopg.Error):
                raise StudyError(self.record.complaint(error)) from None
            raise
        beat = threading.Thread(target=self._beat, daemon=True, name=f"owner of {self.study}")
        beat.start()

    def release(self) -> None:
        """Leave the study to others."""
        self._ended.set()
        with self._mutex, contextlib.suppress(psycopg.Error):
            self._execute(_LEAVE, self.study, self.record.token)
        self._connection.close()

    def hold(self) -> None:
        """Make sure of the lock: where its connection broke, take it again.

        Raises:
            StudyError: another process has taken the study up.
        """
        with self._mutex:
            if not self._lost and self._is_broken():
                self._take_again()
        if self._lost:
            raise StudyError(self._lost)

    def fence(self, cursor: Any) -> int:
        """Bind a transaction to this ownership, before the first that it writes.

        Args:
            cursor: of the transaction.

        Returns:
            the number of this transaction, which the row has once it is committed.

        Raises:
            StudyError: another process has taken the study up.
        """
        self.writes += 1
        cursor.execute(_FENCE, [self.writes, self.study, self.record.token])
        if cursor.rowcount != 1:
            self._lose()
            raise StudyError(self._lost)
        return self.writes

    def has_committed(self, number: int, backend: int) -> bool:
        """Whether a transaction was committed whose connection broke before the answer came.

        Args:
            number: of the transaction.
            backend: process of the server that had it, which may not know yet and still end it
                either way.

        Raises:
            StudyError: another process has taken the study up.
        """
        with self.record.connected() as connection:
            connection.execute(_END_ONE, [self.record.application, backend])
            row = connection.execute(_WRITES, [self.study, self.record.token]).fetchone()
        if row is None:
            self._lose()
            raise StudyError(self._lost)
        return bool(row[0] == number)

    def _beat(self) -> None:
        while not self._ended.wait(self._every):
            with self._mutex, contextlib.suppress(psycopg.Error, StudyError):
                if self._lost or self._ended.is_set():
                    return
                if self._is_broken():
                    self._take_again()
                self._execute(_BEAT, self.study, self.record.token)

    def _connect(self) -> psycopg.Connection[Any]:
        connection = self.record.connect()
        connection.autocommit = True
        return connection

    def _execute(self, statement: str, *values: Any) -> psycopg.Cursor[Any]:
        return self._connection.execute(statement, values)

    def _try_lock(self) -> bool:
        row = self._execute("SELECT pg_try_advisory_lock(%s)", self._key).fetchone()
        return bool(row and row[0])

    def _row(self) -> Any:
        return self._execute(_READ, self.study).fetchone()

    def _end_silent_owner(self) -> None:
        """Take the lock from an owner that was not heard of for long.

        Raises:
            StudyError: it was heard of.
        """
        row = self._row()
        if row is None or row[5] < MISSED * row[4]:
            raise StudyError(self._told(row))
        self._end_connections(row[0])
        if not self._lock_soon():  # another was faster
            raise StudyError(self._told(self._row()))

    def _end_connections(self, token: str) -> None:
        if token != self.record.token:
            self._execute(_END, f"actsearch {token}")

    def _lock_soon(self) -> bool:
        """Whether the lock comes free within the moment that a connection takes to end."""
        for _ in range(50):
            if self._try_lock():
                return True
            time.sleep(0.1)
        return False

    def _is_broken(self) -> bool:
        if self._connection.closed:
            return True
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLIN)
        if not poll.poll(0):
            return False
        try:  # the server has sent something: mostly that it ends
            self._execute("SELECT 1")
        except psycopg.Error:
            return True
        return False

    def _take_again(self) -> None:
        """Take the lock on a new connection, unless another process has the study."""
        self._connection.close()
        self._connection = self._connect()
        row = self._row()
        if row is not None and row[0] == self.record.token:
            if self._try_lock():
                return
            # The server may not know yet that the old connection is gone.
            self._execute(_END_LOCKS, self.record.application)
            row = self._row() if self._lock_soon() else None
            if row is not None and row[0] == self.record.token:
                return
        self._lose()

    def _lose(self) -> None:
        with self.record.connected() as connection:
            row = connection.execute(_READ, [self.study]).fetchone()
        who = f"process {row[2]} on {row[1]} has it since {row[3]}" if row else "another ended it"
        self._lost = (
            f"study {self.study!r} must be run by one process at a time, but was taken from this"
            f" one, which was not heard of: {who}. What was told until then is kept; leave it to"
            " that one, or stop it and call again."
        )

    def _told(self, row: Any) -> str:
        who = "a process that just begins"
        if row is not None:
            _, host, pid, since, _, silent = row
            who = f"process {pid} on {host} since {since}"
            who += f" (last heard of {silent:.0f} s ago)"
        return (
            f"study {self.study!r} must be run by one process at a time, but {who} runs it."
            " Wait, or stop it."
        )

    @staticmethod
    def _create_table(connection: psycopg.Connection[Any]) -> None:
        from actsearch.search.study.postgresql_record import MAKING

        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [MAKING])
            connection.execute(_TABLE)


def is_held(connection: psycopg.Connection[Any], study: str) -> bool:
    """Whether a process holds a study, and was heard of."""
    row = connection.execute(_HELD, [lock_key(study), study, MISSED]).fetchone()
    return bool(row and row[0])


def lock_key(study: str) -> int:
    """Return the number of a study's advisory lock."""
    digest = hashlib.sha256(f"actsearch study {study}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _seconds_between_beats() -> float:
    given = os.environ.get(BEAT_VARIABLE, "10")
    with contextlib.suppress(ValueError):
        if 0.05 <= (seconds := float(given)) <= 3600:
            return seconds
    raise InvalidValueError(
        f"{BEAT_VARIABLE} must be seconds from 0.05 to 3600, but got {given!r}. Leave it out"
        " for 10."
    )
