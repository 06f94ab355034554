"""Activations with one or a few parameters that training may learn."""
