"""Reinforcement learning: continuous control with a squashed Gaussian policy."""

from .task import TEST_SEED as TEST_SEED
from .task import ContinuousControl as ContinuousControl
