"""Normalizing flows: exact density estimation whose nonlinearity is searched."""

from .task import Flow as Flow
