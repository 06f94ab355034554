"""The process of one trial: takes a job, reports, hands back an result, and waits for its end."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from actsearch.search.executors.guardian import kill
from actsearch.search.executors.resources import VISIBLE
from actsearch.search.executors.threads import THREADS
from actsearch.search.training import given
from actsearch.search.training.job import Job, Result


def run_child(pipe: Connection, log: str, threads: int, devices: str | None) -> None:
    """Run one trial: its output into a file, its end with the coordinator's.

    Args:
        pipe: to the coordinator.
        log: file for its output.
        threads: that it computes with.
        devices: that it may use, as CUDA wants to be told of them; ``None`` for all.
    """
    # Before it can start anything: the guardian knows by the session what belongs to it.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides
    # The training's loaders start their workers as they do elsewhere.
    multiprocessing.set_start_method(None, force=True)
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    job = Job.loads(pipe.recv_bytes())
    objects = pipe.recv_bytes()
    answers: list[bool] = []
    news = threading.Condition()

    def listen() -> None:
        """Pass answers on, and die with the coordinator."""
        while True:
            try:
                answer = pipe.recv_bytes()
            except (EOFError, OSError):
                kill(os.getpid())
                os._exit(1)
            with news:
                answers.append(answer == b"stop")
                news.notify()

    threading.Thread(target=listen, daemon=True).start()
    for name in THREADS:  # the server may be an earlier executor's, with another number
        os.environ[name] = str(threads)
    if devices is not None:
        os.environ[VISIBLE] = devices

    import torch

    from actsearch.search.training.ranks import serving_ranks
    from actsearch.search.training.train import reason_of, run_job

    torch.set_num_threads(threads)

    turn = threading.Lock()

    def send(**message: object) -> None:
        with turn:
            pipe.send_bytes(json.dumps(message).encode())

    def end(result: Result) -> None:
        _flush()
        send(kind="end", result=result.dumps())

    def report(epoch: int, metrics: dict[str, float]) -> bool:
        send(kind="report", epoch=epoch, metrics=metrics)
        with news:
            news.wait_for(lambda: bool(answers))
            return answers.pop()

    try:
        with serving_ranks(job, objects, end):
            result = _given(objects) or run_job(job, report)
    except BaseException as error:  # in the coordinator's process this would be a Ctrl-C
        traceback.print_exc()
        result = Result("failed", reason_of(error))
    end(result)
    # To be ended with all that it has started, which its process stands for as long as it lives.
    threading.Event().wait()


def _given(objects: bytes) -> Result | None:
    """Note what the user gave in Python; return the failure where it cannot be made again here."""
    try:
        given.loads(objects)
    except Exception as error:  # whatever the user's own classes raise
        traceback.print_exc()
        text = " ".join(str(error).split())[:500]
        return Result(
            "failed",
            f"error: {type(error).__name__}: {text}, in a process that was given what is trained",
        )
    return None


def _flush() -> None:
    """Write out what the training has printed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # no room, or closed by the training
            stream.flush()
