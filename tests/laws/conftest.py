"""Every activation of the catalogue, discovered.

A law that takes ``entry`` runs once for each; one that holds for some of them takes another name.
"""

import pytest
import torch

from actsearch.activations import Parameter, catalogue
from actsearch.activations.families.surrogate import Surrogate
from actsearch.activations.flexible import Flexible

# Torch has no derivative of hardsigmoid_backward; its φ'' is 0 or a jump.
NO_SECOND_DERIVATIVE_KERNEL = {"hardsigmoid"}


def has_parameters(entry):
    """Whether it has a parameter with a name that can be learned."""
    return any(isinstance(a, Parameter) and a.learnable for a in entry.arguments.values())


def has_own_gradient(entry):
    """Whether its gradient is that of its value; a surrogate's is another function's."""
    return not issubclass(entry, Surrogate)


SUBSETS = {
    "entry": lambda entry: True,
    "entry_with_parameters": has_parameters,
    "entry_that_learns": lambda entry: has_parameters(entry) or issubclass(entry, Flexible),
    "entry_with_own_gradient": has_own_gradient,
    "entry_differentiable_twice": lambda entry: (
        has_own_gradient(entry) and entry.name not in NO_SECOND_DERIVATIVE_KERNEL
    ),
    "entry_without_second_derivative": lambda entry: entry.name in NO_SECOND_DERIVATIVE_KERNEL,
    "entry_with_formula": lambda entry: not issubclass(entry, Flexible),
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def pytest_generate_tests(metafunc):
    for subset in SUBSETS.keys() & set(metafunc.fixturenames):
        entries = {name: e for name, e in catalogue().items() if SUBSETS[subset](e)}
        metafunc.parametrize(subset, entries.values(), ids=entries.keys())
