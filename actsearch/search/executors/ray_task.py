"""What runs on a node of a cluster: a training in a process of its own, as on one machine."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from typing_extensions import override

from actsearch.placement.files import write_bytes
from actsearch.search.executors.local import LocalExecutor
from actsearch.search.executors.ray_folder import folder_of_this_process
from actsearch.search.executors.ray_mailbox import EpochReport
from actsearch.search.executors.resources import Resources
from actsearch.search.executors.threads import THREADS
from actsearch.search.training.job import Job

OF_THE_LOG = -1
"""Stands for the log among the folders of a job."""


_PATH = list(sys.path)  # of this process, before any coordinator's


@dataclass(frozen=True)
class Assignment:
    """One training for a node.

    Args:
        attempt: its number.
        job: as JSON; its paths are the coordinator's.
        objects: what the user gave in Python.
        timeout: seconds after which it is stopped.
        resources: threads and devices.
        folder: the coordinator's current one, where this node has it as well; empty where the
            cluster has brought one.
        path: where the coordinator looks for modules, beside its Python's own.
    """

    attempt: int
    job: str
    objects: bytes
    timeout: float | None
    resources: Resources
    folder: str
    path: list[str]


@dataclass(frozen=True)
class Delivery:
    """What comes back from a node.

    Args:
        result: as JSON.
        files: of the training: whose folder (0 for the job's, then of those trained with it, or
            ``OF_THE_LOG``), the path in it, and the content.
    """

    result: str
    files: list[tuple[int, str, bytes]]


class _OnNode(LocalExecutor):
    """Passes on what the user gave: only the training's process makes it again."""

    def __init__(self, assignment: Assignment) -> None:
        self._given = assignment.objects
        super().__init__(1, assignment.timeout, assignment.resources)

    @override
    def _objects(self, job: Job) -> bytes:
        return self._given


def run_assignment(assignment: Assignment, mailbox: Any) -> Delivery:
    """Train, and return the result with all files.

    Args:
        assignment: what.
        mailbox: handle of the actor that takes reports.
    """
    _see_code(assignment)
    for name in THREADS:  # Ray's own number is the CPUs of the task
        os.environ[name] = str(assignment.resources.cpus)
    folder = folder_of_this_process()
    job = Job.loads(assignment.job)
    reports = 0

    def report(key: int, epoch: int, metrics: dict[str, float]) -> bool:
        nonlocal reports
        reports += 1
        # Its future: ray.get would free the CPUs of the task while it waits.
        answer = mailbox.report.remote(EpochReport(assignment.attempt, reports - 1, epoch, metrics))
        return _patient(answer.future())

    try:
        with _OnNode(assignment) as executor:
            executor.submit(0, within(job, folder))
            while not (ended := executor.wait(report)):
                pass
        return Delivery(ended[0][1].dumps(), list(_files(folder, job)))
    except KeyboardInterrupt as stop:
        if stop.args == (128 + signal.SIGTERM,):  # the node wants this process to end
            os.kill(os.getpid(), signal.SIGTERM)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def within(job: Job, folder: Path) -> Job:
    """Return a job whose files go to a folder of this node."""
    several = [
        replace(one, folder=str(folder / str(index)) if one.folder else "", further=[])
        for index, one in enumerate([job, *job.further])
    ]
    log = str(folder / "log") if job.log else ""
    return replace(several[0], log=log, further=several[1:])


def place_files(job: Job, files: list[tuple[int, str, bytes]]) -> None:
    """Write what came back from a node where the job wanted it, each file whole or not at all.

    Args:
        job: with the coordinator's paths.
        files: as a delivery has them.
    """
    folders = [one.folder for one in (job, *job.further)]
    for index, name, content in files:
        path = Path(job.log) if index == OF_THE_LOG else Path(folders[index]) / name
        write_bytes(path, content)


def _files(folder: Path, job: Job) -> Iterator[tuple[int, str, bytes]]:
    if job.log and (log := folder / "log").exists():
        yield OF_THE_LOG, "", log.read_bytes()
    for index in range(1 + len(job.further)):
        top = folder / str(index)
        for path in sorted(top.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield index, str(path.relative_to(top)), path.read_bytes()


def _see_code(assignment: Assignment) -> None:
    """Look for modules and files where the coordinator does, as far as this node has that."""
    here = [place for place in assignment.path if Path(place).is_dir()]
    sys.path[:] = [*here, *(place for place in _PATH if place not in here)]
    if assignment.folder and Path(assignment.folder).is_dir():
        os.chdir(assignment.folder)


def _patient(answer: Future[bool]) -> bool:
    """Wait for an answer, and see signals meanwhile."""
    while True:
        try:
            return answer.result(timeout=0.25)
        except TimeoutError:
            continue
