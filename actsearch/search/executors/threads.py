"""How many threads a training computes with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def threads_each(jobs: int, wanted: int = 0) -> int:
    """Return the threads of each of so many trainings at a time.

    Args:
        jobs: trainings at a time, which share the cores.
        wanted: number for this training; 0 for its share of the cores. What the user's environment
            asks for goes first.
    """
    for name in THREADS:
        # OMP_NUM_THREADS may be a list, one for each level.
        first = os.environ.get(name, "").split(",")[0].strip()
        if first.isdecimal() and int(first) > 0:
            return int(first)
    return wanted or max(1, usable_cores() // jobs)


def usable_cores(root: Path = Path("/")) -> int:
    """Return the cores that this process may use, at least 1.

    Its affinity decides, and the quota of its control group.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas in cores of this process's control groups, those above them included."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers
        group = top / path.strip("/")  # not there in a container that sees its own group as the top
        for folder in (group, *group.parents):
            yield from _quota(folder)
            if folder == top:
                break


def _quota(folder: Path) -> Iterator[float]:
    """Yield the quota of one control group, if it has one.

    Version 2 writes ``"150000 100000"``, version 1 a file each.
    """
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        if quota != "max" and int(quota) > 0:
            yield int(quota) / int(period)
    except (OSError, ValueError):
        return
