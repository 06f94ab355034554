"""A disk that fills up under a search, or that nobody may write to: nothing is lost, it is told.

The disks are small mounts in memory, where the system allows them.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store

from .searches import ACTSEARCH, Search

pytestmark = pytest.mark.long


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=130m", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def values(search: Search) -> list[list[float] | None]:
    opened = Store(search.root)
    found = [trial.values for trial in StudyRun.load(opened, "s").trials]
    opened.storage().engine.dispose()  # a disk in use cannot be mounted anew
    return found


def read(command: str, search: Search) -> str:
    """Return what a command prints of a study on a disk that takes nothing."""
    line = [ACTSEARCH, command, "s", "--store", str(search.root)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    return ended.stdout


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def test_a_disk_that_fills_up_is_told_and_the_search_goes_on_when_there_is_room(own, disk):
    options = "--pruner none --confirm 0 --trainer.max_epochs 2 --task.pause 0.03"
    search = Search(own, str(disk / "store"), options, 10)
    process = search.start()
    while len([*search.root.glob("studies/s/trials/*")]) < 4:
        assert process.poll() is None
        time.sleep(0.05)
    filler = fill(disk)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "Traceback" not in told
    last = told.strip().splitlines()[-1]
    assert last.startswith("actsearch: the ")
    assert str(search.root) in last
    assert last.endswith("Make room; the same call goes on where it stood.")
    assert "baseline" in read("show", search)
    before = [value for value in values(search) if value is not None]
    os.truncate(filler, 60_000_000)
    process = search.start()
    _, told = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "must have 95 MB of free disk, but has" in told.strip().splitlines()[-1]
    filler.unlink()
    search.finish()
    after = values(search)
    assert after[: len(before)] == before
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert "Read-only file system" in read("show", search)
    assert "activation" in read("best", search)
    assert values(search) == after
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert not any(search.wrong().values())
