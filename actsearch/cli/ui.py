"""``actsearch ui [STUDY]``: MLflow's pages on the store, light, and for this machine alone."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from actsearch.cli.options import add_store, parse_arguments
from actsearch.errors import InvalidValueError, StudyError

if TYPE_CHECKING:
    from actsearch.search.study.store import Store

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch ui",
        description=(
            "Open MLflow's pages on the store, for this machine alone, and print the links to the"
            " runs of its studies. Where MLFLOW_TRACKING_URI names a server, the links lead there."
        ),
    )
    parser.add_argument(
        "study", nargs="?", help="name of the study to link to (default: all of the store)"
    )
    parser.add_argument("--port", type=int, default=5000, help="port (default: 5000)")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: 127.0.0.1)")
    parser.add_argument(
        "--allow-remote", action="store_true", help="let other machines in: there is no password"
    )
    add_store(parser)
    options = parse_arguments(parser, arguments)
    if options.host not in LOOPBACK and not options.allow_remote:
        raise InvalidValueError(
            f"host must be this machine's loopback (127.0.0.1), but got {options.host!r}. Pass"
            " --allow-remote to let others in."
        )

    from actsearch.search.executors.guardian import Guardian
    from actsearch.search.study.store import Store
    from actsearch.tracking.client import server, tracking_uri
    from actsearch.tracking.database import create_database

    store = Store(options.store, options.record)
    if not store.record.exists():
        raise StudyError(
            f"{store} must be a store of studies, but holds none. Run a search first, or pass"
            " --store."
        )
    if options.study:
        store.load(options.study)
    if address := server():
        _print_links(store, options.study, address)
        return 0
    _check_port(options.host, options.port)
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        create_database(store.root)
    pages = f"http://{options.host}:{options.port}"
    hosts = [f"{name}:{options.port}" for name in ("localhost", "127.0.0.1", "[::1]")]
    if options.host not in LOOPBACK:
        hosts.append(f"{options.host}:{options.port}")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        tracking_uri(store),
    ]
    command += [
        "--host",
        options.host,
        "--port",
        str(options.port),
        "--workers",
        "1",
        "--allowed-hosts",
        ",".join(hosts),
        "--uvicorn-opts",
        "--log-level warning",  # else a line for each request covers the links
    ]
    environment = os.environ | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    print(f"MLflow's pages on {store.root}: {pages}    (Ctrl-C ends)", flush=True)
    guardian = Guardian()  # however this process ends, its pages do
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:  # noqa: S603  # a fixed command
        guardian.watch(process.pid)
        try:
            _print_links(store, options.study, pages)
            return process.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            guardian.close()


def _print_links(store: Store, study: str | None, pages: str) -> None:
    """Print where the runs of a study are, or those of each study of the store."""
    from actsearch.search.study.record import StudyRun
    from actsearch.tracking.link import runs_link

    for name in [study] if study else store.names():
        try:
            print(f"{name}: {runs_link(StudyRun.load(store, name), pages)}", flush=True)
        except StudyError as error:  # of one that is not ours, or damaged: the others are shown
            print(f"{name}: {error}", flush=True)


def _check_port(host: str, port: int) -> None:
    """Refuse a port that cannot be listened at."""
    try:
        if not 0 < port < 1 << 16:
            raise OverflowError("no such port")
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(*address[:2]) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address[4])
    except (OSError, OverflowError) as error:
        raise InvalidValueError(
            f"port must be free and from 1 to 65535, but at {host}:{port}:"
            f" {getattr(error, 'strerror', None) or error}. Choose another with --port."
        ) from None
