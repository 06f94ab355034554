"""Activations without a learned parameter."""
