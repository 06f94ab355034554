"""Dynamics: rates that stay positive, and a system that comes to one equilibrium by its bound."""

from .task import DampedDynamics as DampedDynamics
