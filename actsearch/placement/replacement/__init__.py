"""Putting activations into a model, and taking them out again."""
