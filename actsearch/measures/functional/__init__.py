"""The mathematics of the measures: pure functions of tensors and models."""
