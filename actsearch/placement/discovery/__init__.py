"""Which operations of a model are activations, and which of them may change."""
