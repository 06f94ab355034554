"""Folders for a moment, on nodes that may be killed at any."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import zlib
from pathlib import Path

from actsearch.search.executors.guardian import is_alive


def folder_of_this_process(parent: str = "") -> Path:
    """Make a folder, and remove those that processes of this machine have left as they died.

    Args:
        parent: where; by default where temporary files go.
    """
    place = Path(parent or tempfile.gettempdir())
    # Containers with one such place have processes of the same number.
    machine = f"{zlib.crc32(platform.node().encode()):08x}"
    for left in place.glob(f"actsearch-{machine}-*-*"):
        process = left.name.split("-")[2]
        if process.isdecimal() and not is_alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"actsearch-{machine}-{os.getpid()}-", dir=place))
