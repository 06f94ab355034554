"""Which activations may stand where, and what a trial chooses."""
