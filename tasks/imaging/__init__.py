"""Imaging: a slice reconstructed from photons that came through it."""

from .task import Tomography as Tomography
