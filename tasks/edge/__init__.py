"""Small networks for small devices: which cheap activations they can do with."""

from .task import Edge as Edge
