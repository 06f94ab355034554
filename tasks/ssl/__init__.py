"""Self-supervised representation learning, and its collapse."""

from .task import SelfSupervised as SelfSupervised
