"""Several heads on one trunk, and whether their gradients agree."""

from .task import MultiTask as MultiTask
