"""The server that children are forked from, with what they need already imported."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path
from typing import NoReturn

from actsearch.search.executors.threads import THREADS, threads_each

PRELOAD = "actsearch.search.executors.preload"


def start_server(jobs: int = 1) -> None:
    """Start the server that children are forked from, if none runs.

    It imports for seconds, while the caller does as well. It alone gets the environment
    that its libraries read once, when they are loaded; the caller's is left as it was.

    Args:
        jobs: how many trainings will run at a time.
    """
    forkserver.set_forkserver_preload([PRELOAD])
    with _environment_of_children(jobs), _ignoring_interrupts():
        forkserver.ensure_running()


def fork_server() -> None:
    """Import what children need, and fork the server from this process, so that both have it.

    That spares a command seconds of imports. It is for the first moment of a process: where
    something has computed already, or where a fork of loaded libraries is not known to be safe,
    the server starts as :func:`start_server` does it.
    """
    fresh = "torch" not in sys.modules and threading.active_count() == 1
    # Python 3.14 asks every client of the server for a key that only its own start can give.
    if not fresh or sys.platform != "linux" or sys.version_info >= (3, 14):
        start_server()
        return
    with _environment_of_children(1):
        importlib.import_module(PRELOAD)
        resource_tracker.ensure_running()
        address = str(Path(util.get_temp_dir(), "server"))
        with socket.socket(socket.AF_UNIX) as listener, _ignoring_interrupts():
            listener.bind(address)
            Path(address).chmod(0o600)
            listener.listen()
            alive, held = os.pipe()
            server = os.fork()
            if server == 0:
                os.close(held)
                _serve(listener.detach(), alive)
    os.close(alive)
    # What its own start would note.
    running = vars(forkserver)["_forkserver"]
    running._forkserver_address = address
    running._forkserver_alive_fd = held
    running._forkserver_pid = server


def _serve(listener: int, alive: int) -> NoReturn:
    """Be the server until the last of its clients has ended."""
    # A command's own ways with signals and warnings end here.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    importlib.reload(warnings)
    code = 1
    try:
        forkserver.main(listener, alive, [])
    except SystemExit:
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


@contextlib.contextmanager
def _environment_of_children(jobs: int) -> Iterator[None]:
    """Give the environment what libraries read once, when they are loaded."""
    # Of the semaphores that a killed training leaves, multiprocessing's tracker warns in the end,
    # when it removes them.
    quiet = "ignore:resource_tracker:UserWarning"
    needed = {
        **dict.fromkeys(THREADS, str(threads_each(jobs))),
        # Idle threads that spin for long starve others.
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000"),
        # A process that has asked CUDA itself how many devices there are hands a dead CUDA on.
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "PYTHONWARNINGS": ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), quiet])),
    }
    given = {name: os.environ[name] for name in needed if name in os.environ}
    os.environ.update(needed)
    try:
        yield
    finally:
        for name in needed:
            del os.environ[name]
        os.environ.update(given)


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C: what starts meanwhile ignores it from its first moment.

    It is for the coordinator alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
