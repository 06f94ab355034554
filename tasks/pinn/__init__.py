"""Physics-informed networks; :class:`Problem` is what an equation of one's own derives from."""

from .problem import Problem as Problem
from .task import PhysicsInformed as PhysicsInformed
