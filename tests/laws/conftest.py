"""Every activation of the catalogue, discovered; a law that takes ``entry`` runs once for each."""

import pytest
import torch

from actsearch.activations import catalogue


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def pytest_generate_tests(metafunc):
    if "entry" in metafunc.fixturenames:
        entries = catalogue()
        metafunc.parametrize("entry", entries.values(), ids=entries.keys())
