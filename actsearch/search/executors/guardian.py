"""Ends what trainings have started, however this process ends.

Run as a script, it is the process that waits for that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

PROCESSES = Path("/proc")


class Guardian:
    """Ends trainings with all that they have started, when told or when this process dies.

    Each training leads a session of its own, so that what it starts is known: workers of loaders,
    ranks, commands. On Linux this includes what has left for another session, as long as a parent
    of its in the training lives. Out of reach is a daemon that has cut itself loose from all its
    parents; elsewhere, what has left the training's process group.

    A kill -9 leaves no time to end anything. So a small process in another session is told what
    runs, and ends it when the pipe to it closes.
    """

    def __init__(self) -> None:
        self._leaders: set[int] = set()
        self._helper: subprocess.Popen[bytes] | None = None

    def watch(self, leader: int) -> None:
        """Take a training into care, by the number of its process."""
        self._leaders.add(leader)
        self._tell()

    def end(self, leader: int) -> None:
        """Kill a training with all that it has started."""
        kill(leader)
        self._leaders.discard(leader)
        self._tell()

    def close(self) -> None:
        """Kill all trainings; another may be watched afterwards."""
        for leader in list(self._leaders):
            self.end(leader)
        if self._helper is not None:
            self._helper.communicate()
            self._helper = None

    def _tell(self) -> None:
        line = " ".join(map(str, sorted(self._leaders))).encode() + b"\n"
        for _ in range(2):
            if self._helper is None:
                self._helper = self._start()
            assert self._helper.stdin is not None
            try:
                self._helper.stdin.write(line)
                return
            except OSError:  # somebody has killed it
                self._helper.communicate()
                self._helper = None

    def _start(self) -> subprocess.Popen[bytes]:
        # -I and -S: nothing of the user's is imported.
        command = [sys.executable, "-I", "-S", __file__]
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(  # noqa: S603  # our own file
            command,
            bufsize=0,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=nowhere,
            stderr=nowhere,
            start_new_session=True,
        )


def kill(leader: int) -> None:
    """Kill a training with all that it has started.

    Nothing where it is gone or does not lead its session yet.
    """
    # First: of a process whose parent has died nobody knows where it came from.
    family = _family(leader)
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)
    for process in family:
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


def is_alive(process: int) -> bool:
    """Whether there is a process of a number, anybody's."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def _family(leader: int) -> set[int]:
    """Return the members of a session and their descendants, where there is ``/proc``."""
    parents: dict[int, int] = {}
    family: set[int] = set()
    for folder in PROCESSES.iterdir() if PROCESSES.is_dir() else ():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        process = int(folder.name)
        parents[process], group, session = map(int, fields[1:4])
        if leader in (group, session):
            family.add(process)
    while children := {process for process, parent in parents.items() if parent in family} - family:
        family |= children
    return family


def guard() -> None:
    """Read what runs, a line each time that it changes; end what still does after the last."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    leaders: list[bytes] = []
    for line in sys.stdin.buffer:
        leaders = line.split()
    for leader in leaders:
        kill(int(leader))


if __name__ == "__main__":
    guard()
