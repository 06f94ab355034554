"""A PostgreSQL server of the tests' own: on a loopback port, in a folder that goes with it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
import psycopg

from actsearch.search.study.store import Store

PASSWORD = "v3ry/s3cret@word"
"""Of the user whom the record is opened by; it must be found nowhere afterwards."""

QUOTED = "v3ry%2Fs3cret%40word"


class Server:
    """A server with its data in a temporary folder.

    Args:
        programs: folder of PostgreSQL's programs.
    """

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="actsearch-postgresql-", dir="/tmp"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.made = 0
        if os.getuid() == 0:  # which PostgreSQL refuses to run as
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "-E", "UTF8")
        rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (self.folder / "data" / "pg_hba.conf").write_text(rules)
        self.start()
        self.execute(f"CREATE ROLE keeper LOGIN CREATEDB PASSWORD '{PASSWORD}'")
        self.execute("CREATE DATABASE template OWNER keeper")
        Store(self.folder, self.url("template")).storage(create=True).engine.dispose()

    def _run(self, program: str, *arguments: str) -> None:
        user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        line = [*user, str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        # To a file: the server keeps what it was given open.
        with (self.folder / "output").open("w") as output:
            ended = subprocess.run(line, stdout=output, stderr=output, cwd="/", timeout=60)
        assert ended.returncode == 0, (self.folder / "output").read_text()

    def start(self) -> None:
        settings = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "start", "-w", "-o", settings, "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "stop", "-w", "-m", mode)

    def close(self) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the superuser, who needs no password here."""
        place = {"host": str(self.folder), "port": self.port, "dbname": database}
        with psycopg.connect(**place, user="postgres", autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def database(self) -> str:
        """Make a database with Optuna's tables, and return its name."""
        self.made += 1
        name = f"studies{self.made}"
        self.execute(f"CREATE DATABASE {name} OWNER keeper TEMPLATE template")
        return name

    def url(self, database: str, port: int | None = None) -> str:
        """Return the URL of a database, password and all."""
        address = f"127.0.0.1:{port or self.port}"
        return f"postgresql+psycopg://keeper:{QUOTED}@{address}/{database}"


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, where they are installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    found = shutil.which("initdb")
    return debian[-1] if debian else Path(found).parent if found else None


def served() -> Iterator[Server]:
    """Yield a server, and end it."""
    found = programs()
    assert found is not None
    server = Server(found)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield server
    finally:
        server.close()
