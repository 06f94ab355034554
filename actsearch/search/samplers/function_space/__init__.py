"""An Optuna sampler that sees every activation as a function, not as a name."""

from actsearch.search.samplers.function_space.sampler import (
    FunctionSpaceSampler as FunctionSpaceSampler,
)
