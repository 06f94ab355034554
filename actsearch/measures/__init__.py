"""Measures: one number computed from a model and data, one file each."""
