"""Arm: one neuron moves one joint, and its activation decides how it gets there."""

from .task import JointControl as JointControl
