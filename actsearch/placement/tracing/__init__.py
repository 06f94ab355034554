"""What a model computes: its operations in order, by two tracers."""
