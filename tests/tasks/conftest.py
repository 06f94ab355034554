"""Trainings of these tests are quiet, and on one thread."""

import logging

import pytest
import torch


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
