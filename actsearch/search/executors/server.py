"""The server that children are forked from, with what they need already imported."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import forkserver

from actsearch.search.executors.threads import THREADS, threads_each


def start_server(jobs: int = 1) -> None:
    """Start the server that children are forked from, if none runs.

    It imports for seconds, while the caller does as well. It alone gets the environment
    that its libraries read once, when they are loaded; the caller's is left as it was.

    Args:
        jobs: how many trainings will run at a time.
    """
    forkserver.set_forkserver_preload(["actsearch.search.executors.preload"])
    # Of the semaphores that a killed training leaves, multiprocessing's tracker warns in the end,
    # when it removes them.
    quiet = "ignore:resource_tracker:UserWarning"
    needed = {
        **dict.fromkeys(THREADS, str(threads_each(jobs))),
        # Idle threads that spin for long starve others.
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000"),
        "PYTHONWARNINGS": ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), quiet])),
    }
    given = {name: os.environ[name] for name in needed if name in os.environ}
    in_main_thread = threading.current_thread() is threading.main_thread()
    # What is ignored here, the server ignores from its first moment: Ctrl-C is for the coordinator
    # alone.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    os.environ.update(needed)
    try:
        forkserver.ensure_running()
    finally:
        for name in needed:
            del os.environ[name]
        os.environ.update(given)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
