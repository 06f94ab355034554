"""A disk that fills up under a search, or that nobody may write to: nothing is lost, it is told.

The disks are small mounts in memory, where the system allows them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store

pytestmark = pytest.mark.long

TRIALS = 10
ACTSEARCH = str(Path(sys.executable).parent / "actsearch")


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


def search(store: Path) -> list[str]:
    options = (
        f"--space space.yaml --pruner none --trials {TRIALS} --confirm 0 --study s"
        " --trainer.max_epochs 2 --task.pause 0.03"
    )
    return [ACTSEARCH, "search", "own.Own", *options.split(), "--store", str(store)]


def values(store: Path) -> list[list[float] | None]:
    opened = Store(store)
    found = [trial.values for trial in StudyRun.load(opened, "s").trials]
    opened.storage().engine.dispose()  # a disk in use cannot be mounted anew
    return found


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
    store = disk / "store"
    process = subprocess.Popen(search(store), cwd=own, stderr=subprocess.PIPE, text=True)
    while len([*store.glob("studies/s/trials/*")]) < 4:
        assert process.poll() is None
        time.sleep(0.05)
    filler = fill(disk)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "Traceback" not in told
    last = told.strip().splitlines()[-1]
    assert last.startswith("actsearch: the ")
    assert str(store) in last
    assert last.endswith("Make room; the same call goes on where it stood.")
    show = [ACTSEARCH, "show", "s", "--store", str(store)]
    shown = subprocess.run(show, capture_output=True, text=True, timeout=120)
    assert (shown.returncode, shown.stderr) == (0, "")
    before = [value for value in values(store) if value is not None]
    filler.unlink()
    assert subprocess.run(search(store), cwd=own, timeout=200).returncode == 0
    after = values(store)
    assert len(after) >= TRIALS
    assert after[: len(before)] == before
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    shown = subprocess.run(show, capture_output=True, text=True, timeout=120)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Read-only file system" in shown.stdout
    assert values(store) == after
