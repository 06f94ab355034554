"""Linear algebra in one thread: beside matrices as small as the sampler's, threads mostly wait."""

from __future__ import annotations

import threading

from threadpoolctl import ThreadpoolController

_LIBRARIES = ThreadpoolController()


class OneThread:
    """A block in which numpy and scipy compute with one thread, in the whole process.

    Blocks may overlap, in several threads: what was before the first comes back after the last.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._turn:
            if not self._inside:
                self._limit = _LIBRARIES.limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._turn:
            self._inside -= 1
            if not self._inside:
                self._limit.restore_original_limits()


ONE_THREAD = OneThread()
"""The block that all samplers share."""
