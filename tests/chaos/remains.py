"""What is left of something that was ended: its processes."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

LINUX = sys.platform == "linux"

STUBBORN = """
import os, signal, sys, time
from pathlib import Path
import torch

FOLDER = Path.cwd()
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
SLEEP = [sys.executable, "-S", "-c", DEAF]

def note(pid):
    (FOLDER / "started" / str(pid)).touch()

class Deadlock(torch.utils.data.Dataset):
    def __len__(self):
        return 32

    def __getitem__(self, index):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note(os.getpid())
        time.sleep(600)
"""
"""Code of a module that starts what does not want to end, and notes its processes."""


def lives(process: int) -> bool:
    """Whether a process is alive; one that nobody has reaped is not."""
    try:
        os.kill(process, 0)
        return (
            Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
            if LINUX
            else True
        )
    except OSError:
        return False


def marked(mark: str) -> set[int]:
    """Return the processes whose environment has a mark, where the system tells."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark.encode() in file.read_bytes():
                found.add(int(file.parent.name))
    return {process for process in found if lives(process)}


def left(remaining: Callable[[], set[int]], within: float = 10) -> set[int]:
    """Return what is left, after the moment that a killed process needs to go."""
    end = time.monotonic() + within
    while (found := remaining()) and time.monotonic() < end:
        time.sleep(0.05)
    return found
