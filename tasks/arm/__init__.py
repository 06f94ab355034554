"""Arm: one neuron moves one joint, and its activation decides how it gets there."""

from .control_system import control_system as control_system
from .task import JointControl as JointControl
