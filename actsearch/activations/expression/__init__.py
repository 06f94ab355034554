"""Composed activations: their grammar, how they are drawn, computed and compared."""
