"""What a search runs: space, sampler, trial, study, confirmation."""
