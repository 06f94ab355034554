"""A further rank of a training on several devices: Lightning runs this file as a script."""

from __future__ import annotations

import json
import os
import sys
import threading
from multiprocessing.connection import Client, Connection
from typing import NoReturn


def train() -> NoReturn:
    """Train what rank 0 trains, and end with it."""
    key, _, address = os.environ["ACTSEARCH_RANKS"].partition(" ")
    first = Client(address, authkey=bytes.fromhex(key))
    # Before anything of ours can be found.
    sys.path[:] = json.loads(first.recv_bytes())
    from actsearch.search.training import given
    from actsearch.search.training.job import Job
    from actsearch.search.training.train import run_job

    job, objects = Job.loads(first.recv_bytes()), first.recv_bytes()
    threading.Thread(target=_end_with, args=[first], daemon=True).start()
    given.loads(objects)
    result = run_job(job, lambda *_: False)
    if result.state == "failed":
        first.send_bytes(result.dumps().encode())
        threading.Event().wait()  # an end would end rank 0 before it can tell of what
    os._exit(0)


def _end_with(first: Connection) -> None:
    """End when rank 0 does."""
    try:
        first.recv_bytes()
    except (EOFError, OSError):
        os._exit(0)


if __name__ == "__main__":
    train()
