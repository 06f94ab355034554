"""A potential whose activations are Gaussian-type orbitals."""

from .task import OrbitalPotential as OrbitalPotential
