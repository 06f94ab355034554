"""Folders of processes: those of the dead go, those of the living and of others stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from actsearch.search.executors.ray_folder import folder_of_this_process


def test_what_the_dead_have_left_goes(tmp_path):
    mine = folder_of_this_process(str(tmp_path))
    assert mine.name.split("-")[2] == str(os.getpid())
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    left = tmp_path / mine.name.replace(str(os.getpid()), str(ended.pid), 1)
    elsewhere = tmp_path / f"actsearch-00000000-{ended.pid}-x"
    for folder in (left, elsewhere):
        folder.mkdir()
        (folder / "file").touch()
    second = folder_of_this_process(str(tmp_path))
    assert set(tmp_path.iterdir()) == {mine, second, elsewhere}


def test_a_cluster_s_sockets_have_room():
    # A socket's path has 107 bytes, and Ray's own part takes 64 of them.
    folder = folder_of_this_process("/tmp")
    Path(folder).rmdir()
    assert len(str(folder)) <= 107 - 64
