"""Trainings on several devices: a process for each, as Lightning's ``ddp`` wants them.

Lightning starts the further ranks by the command of this process. Here that is a script of ours
(:mod:`actsearch.search.training.rank`), which asks this process what to train, and then does the
same steps as this one: rank 0, whose metrics and decisions count.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from actsearch.errors import TaskError
from actsearch.search.training.job import Job, Result

ADDRESS = "ACTSEARCH_RANKS"
"""In the environment of a training that may have further ranks: where they ask, and their key."""


@contextlib.contextmanager
def serving_ranks(job: Job, objects: bytes, on_failure: Callable[[Result], None]) -> Iterator[None]:
    """Let further ranks of this process's trainings know what to train, and end with them.

    Nothing where the trainer has one device.

    Args:
        job: what is trained.
        objects: what the user gave in Python.
        on_failure: called where the training of a rank has failed, from another thread: this one
            may wait for that rank forever.
    """
    if job.config.get("trainer", {}).get("devices", 1) in (1, "1"):
        yield
        return
    key = os.urandom(16)
    with Listener(None, "AF_UNIX", authkey=key) as listener:
        connections: list[Connection] = []
        message = [json.dumps(sys.path).encode(), _of_rank(job).dumps().encode(), objects]

        def follow(connection: Connection) -> None:
            for part in message:
                connection.send_bytes(part)
            with contextlib.suppress(EOFError, OSError):  # it has ended well, or this one ends
                on_failure(Result.loads(connection.recv_bytes()))

        def serve() -> None:
            with contextlib.suppress(OSError):  # closed
                while True:
                    connections.append(listener.accept())
                    threading.Thread(target=follow, args=connections[-1:], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        os.environ[ADDRESS] = f"{key.hex()} {listener.address}"
        sys.argv = [str(Path(__file__).with_name("rank.py"))]
        try:
            yield
        finally:
            del os.environ[ADDRESS]
            for connection in connections:
                connection.close()


def _of_rank(job: Job) -> Job:
    """Return what a further rank trains: it judges, measures and writes nothing."""
    nothing: dict[str, Any] = {"folder": "", "measures": {}, "baseline": None}
    further = [replace(one, **nothing) for one in job.further]
    return replace(job, **nothing, further=further)


def plain_ddp(options: dict[str, Any]) -> dict[str, Any]:
    """Return a trainer's options with ``ddp`` in place of what spawns or forks its processes.

    No report comes back from those.
    """
    strategy = options.get("strategy")
    if isinstance(strategy, str):
        return {**options, "strategy": re.sub("^ddp_(spawn|fork|notebook)", "ddp", strategy)}
    return options


def check_ranks(trainer: Any) -> None:
    """Raise where a trainer's further ranks could not be followed.

    Raises:
        TaskError: it would start the user's command anew, or spawn processes of its own.
    """
    name = type(trainer.strategy).__name__
    kinds = [cls.__name__ for cls in type(trainer.strategy.launcher).__mro__]
    if "_MultiProcessingLauncher" in kinds:
        raise TaskError(
            "strategy for several devices must start its processes by a command, but got"
            f" {name!r}, which spawns them. Choose --trainer.strategy ddp."
        )
    alone = ADDRESS not in os.environ
    if "_SubprocessScriptLauncher" in kinds and trainer.strategy.num_processes > 1 and alone:
        raise TaskError(
            f"strategy {name!r} must have a process for each training, to start others beside it,"
            " but the executor is 'inline'. Choose --executor local, or --trainer.devices 1."
        )
