"""Who proposes: samplers and pruners by name, ours among them."""
