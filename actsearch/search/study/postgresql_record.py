"""Optuna's record in PostgreSQL, for several machines: how it is reached, opened and told of."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actsearch.errors import StudyError
from actsearch.search.study.record_url import connection_options
from actsearch.search.study.sqlite_record import first_cause

if TYPE_CHECKING:
    from psycopg import Connection

    from actsearch.search.study.ownership import Ownership
    from actsearch.search.study.shared_storage import SharedStorage

SERVER_PATIENCE = 60.0
"""Seconds that work which is under way waits for a server that has gone, such as for a restart."""

ALIVE = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""By which this side finds within a minute that the other is gone; a URL may say otherwise."""

_SETTINGS = """
SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
SET idle_in_transaction_session_timeout = '60s'
"""
"""By which the server finds it of this side; and a process that is stopped holds no rows."""

MAKING = 0x61637473656172
"""The advisory lock under which tables are made."""

WAYS_OUT = {
    "28": "Check the user, and give the password by PGPASSWORD or ~/.pgpass",
    "3D": "Make it: createdb NAME, or name another by --record",
    "42": "Let its owner grant the right",
    "53": "Make room; the same call goes on where it stood",
    "25": "Name the server that takes writes",
    "22": "Check the URL of --record",
}
"""By the class of PostgreSQL's code of an error."""

_TOLD_AT_CONNECTING = {
    "password": "28",
    "no pg_hba.conf entry": "28",
    'role "': "28",
    'database "': "3D",
    "invalid": "22",
    "too many clients": "53",
}
"""Words of an error of connecting, which has no code, and the code it would have."""


class PostgresqlRecord:
    """A database of PostgreSQL.

    Args:
        url: as :func:`actsearch.search.study.record_url.shown_url` returns it.

    Attributes:
        token: by which this one's connections and rows are told from all others.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = uuid.uuid4().hex
        self._answered = False
        self._owned: dict[str, Ownership] = {}

    def __str__(self) -> str:
        return self.url

    @property
    def application(self) -> str:
        """The name under which the server lists the connections."""
        return f"actsearch {self.token}"

    def connect(self) -> Connection[Any]:
        """Connect; a server that has answered before is waited for.

        Raises:
            StudyError: it does not answer, or refuses.
        """
        try:
            import psycopg
        except ImportError:
            raise StudyError(
                f"psycopg must be installed for a record in PostgreSQL, {self}. pip install"
                " 'actsearch[postgresql]'"
            ) from None
        end, pause = time.monotonic() + SERVER_PATIENCE, 0.05
        options: dict[str, Any] = {**ALIVE, **connection_options(self.url)}
        while True:
            try:
                connection = psycopg.connect(**options | {"application_name": self.application})
                try:
                    connection.execute(_SETTINGS)
                    connection.commit()
                except psycopg.Error:
                    connection.close()
                    raise
            except psycopg.Error as error:
                if not self._answered or time.monotonic() > end:
                    self._answered = False  # whoever is next does not wait as long once more
                    raise StudyError(self.complaint(error)) from None
                time.sleep(pause)
                pause = min(2 * pause, 2.0)
            else:
                self._answered = True
                return connection

    @contextlib.contextmanager
    def connected(self) -> Iterator[Connection[Any]]:
        """Connect for a moment; each statement counts at once."""
        with contextlib.closing(self.connect()) as connection:
            import psycopg  # which connecting has found

            connection.autocommit = True
            try:
                yield connection
            except psycopg.Error as error:
                raise StudyError(self.complaint(error)) from None

    def described(self) -> str:
        """Return what answers there, and which Optuna's tables it has, in a few words.

        Raises:
            StudyError: the server does not answer, or refuses.
        """
        with self.connected() as connection:
            server = f"PostgreSQL {connection.info.parameter_status('server_version')}"
            if not _has(connection, "version_info"):
                return f"{server}, no tables yet: the first search makes them"
            found = "SELECT library_version, version_num FROM version_info, alembic_version"
            version, schema = connection.execute(found).fetchone() or ("?", "?")
            studies = connection.execute("SELECT count(*) FROM studies").fetchone() or (0,)
        return f"{server}, tables of Optuna {version} ({schema}), studies: {studies[0]}"

    def exists(self) -> bool:
        """Whether the database has Optuna's tables."""
        with self.connected() as connection:
            return _has(connection, "version_info")

    def open(self, create: bool) -> SharedStorage:
        """Open it to read and write, as far as the user may.

        Args:
            create: whether tables are made where there are none.

        Raises:
            StudyError: the server does not answer or refuses, or its tables are another Optuna's.
        """
        from actsearch.search.study.shared_storage import SharedStorage

        try:
            if not create:
                return SharedStorage(self, self._owned)
            with self.connected() as connection:  # two that begin at once make them once
                connection.execute("SELECT pg_advisory_lock(%s)", [MAKING])
                return SharedStorage(self, self._owned, create=not _has(connection, "version_info"))
        except RuntimeError as error:
            if isinstance(error, StudyError):
                raise
            told = first_cause(error).replace("$STORAGE_URL", str(self))
            raise StudyError(f"the record {self} must have tables that fit, but: {told}") from None

    def open_to_read(self) -> SharedStorage:
        """Open it; what the user may do there is the server's to say."""
        return self.open(create=False)

    def complaint(self, error: BaseException) -> str:
        """Return what the server has said, and the way out, in one line."""
        told = _told(error)
        code = _code(error) or next(
            (code for words, code in _TOLD_AT_CONNECTING.items() if words in told), ""
        )
        way_out = WAYS_OUT.get(
            code[:2], "Is its server up? The same call goes on where the study stands"
        )
        return (
            f"the record {self} must be a database that can be read and written, but: {told}."
            f" {way_out}."
        )

    @contextlib.contextmanager
    def owned(self, study: str, folder: Path) -> Iterator[None]:
        """Hold a study for this process alone, wherever others run.

        Args:
            study: its name.
            folder: of its files, which only others that share it see.

        Raises:
            StudyError: another process runs the study, and the message says which.
        """
        from actsearch.search.study.ownership import Ownership

        ownership = Ownership(self, study)
        ownership.take()
        self._owned[study] = ownership
        try:
            yield
        finally:
            del self._owned[study]
            ownership.release()

    def is_running(self, study: str, folder: Path) -> bool:
        """Whether another process runs a study now and has been heard of."""
        from actsearch.search.study.ownership import OWNERS, is_held

        with self.connected() as connection:
            return _has(connection, OWNERS) and is_held(connection, study)

    def hold(self, study: str) -> None:
        """Make sure that a study which this process owns is still its own.

        Raises:
            StudyError: another process has taken it up.
        """
        if study in self._owned:
            self._owned[study].hold()


def _code(error: BaseException | None) -> str:
    """Return PostgreSQL's code of an error, or of what caused it."""
    while error is not None:
        if code := getattr(error, "sqlstate", None):
            return str(code)
        error = getattr(error, "orig", None) or error.__cause__
    return ""


def _told(error: BaseException) -> str:
    """Return what the server has said; of several addresses of a host, of the last."""
    return first_cause(error).rpartition(" failed: ")[2].removeprefix("FATAL: ").strip(" .?")


def _has(connection: Connection[Any], table: str) -> bool:
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    return bool(found and found[0])
