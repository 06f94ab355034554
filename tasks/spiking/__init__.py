"""Spiking networks trained through surrogate gradients: which surrogate belongs to which layer."""

from .task import Spiking as Spiking
