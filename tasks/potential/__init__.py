"""Potentials of molecules, trained on energies and forces, and as calculators for ASE."""

from .calculator import ase_calculator as ase_calculator
from .task import Potential as Potential
