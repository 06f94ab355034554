"""CPU seconds of a command with all that it starts, whatever was killed or left behind included.

    python benchmarks/cpu_time.py python -c 'sum(range(10**7))'

Linux alone: a small parent adopts what the command leaves (``PR_SET_CHILD_SUBREAPER``), waits for
it, and reads what all of them together have used.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
"""Of ``<linux/prctl.h>``: orphans among the descendants become children of this process."""

PATIENCE = 20.0
"""Seconds that what is left behind has to end by itself."""


def cpu_seconds(command: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """Run a command; return the user and system time of it and of all that it started.

    What it prints goes to the standard error.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    parent = [sys.executable, "-I", "-S", __file__, *command]
    ran = subprocess.run(parent, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return float(ran.stdout)


def main() -> None:
    """Run the command in the arguments, print its CPU seconds, and exit as it does."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this system has no PR_SET_CHILD_SUBREAPER")
    ended = subprocess.Popen(sys.argv[1:], stdout=sys.stderr).wait()
    _reap(time.monotonic() + PATIENCE)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(spent.ru_utime + spent.ru_stime)
    sys.exit(ended)


def _reap(deadline: float) -> None:
    """Wait for all that is left behind, and kill what lives on after the deadline."""
    while True:
        try:
            process, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process:
            continue
        if time.monotonic() > deadline:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
            for child in map(int, children.split()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


if __name__ == "__main__":
    main()
