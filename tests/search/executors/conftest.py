"""Ray, started once for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actsearch.search.executors.ray_cluster import connected
from actsearch.search.executors.ray_options import RayOptions


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A cluster of two CPUs on this machine, which executors find and leave alone."""
    with connected(RayOptions(), cpus=2):
        yield
