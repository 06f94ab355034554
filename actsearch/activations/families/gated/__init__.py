"""Self-gated activations: x times a gate in x."""
