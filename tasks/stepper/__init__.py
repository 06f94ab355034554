"""Learned update maps of partial differential equations: how far they go, and whether they stay."""

from .task import Stepper as Stepper
