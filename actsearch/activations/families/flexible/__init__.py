"""Flexible activations: the shape itself is learned, by a tensor of coefficients."""
