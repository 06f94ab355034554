"""Gradients of each sample, against a backward pass of each alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import actsearch
from actsearch.activations import catalogue
from actsearch.measures.functional.sample_gradients import sample_gradients

FORMULA = "mul(sigmoid(x),x)"


def cross_entropy(model, batch):
    x, y = batch
    return F.cross_entropy(model(x), y)


def alone(model, batch):
    """Return the gradients of one backward pass a sample."""
    rows = []
    for row in range(len(batch[0])):
        loss = cross_entropy(model, tuple(part[row : row + 1] for part in batch))
        rows.append(torch.autograd.grad(loss, list(model.parameters())))
    return [torch.stack(column) for column in zip(*rows, strict=True)]


def with_parameters():
    """Return the names of all activations that have parameters."""
    built = {name: actsearch.activation(name) for name in catalogue()}
    return [name for name, one in built.items() if list(one.parameters()) or one.values]


@pytest.mark.parametrize("name", [*with_parameters(), FORMULA])
def test_every_activation_with_parameters_has_the_gradients_of_single_samples(name):
    torch.manual_seed(0)
    given = actsearch.activation(name)
    if not list(given.parameters()) and (learned := _learnable(given)):
        given = actsearch.activation(name, learn=learned)
    model = nn.Sequential(nn.Linear(4, 6), given, nn.Linear(6, 3)).eval()
    batch = 0.8 * torch.rand(5, 4), torch.arange(5) % 3
    gradients, losses = sample_gradients(model, batch, cross_entropy)
    assert list(gradients) == [name for name, _ in model.named_parameters()]
    for found, expected in zip(gradients.values(), alone(model, batch), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert float(losses.mean()) == pytest.approx(cross_entropy(model, batch).item(), rel=1e-5)


def _learnable(given):
    parameters = given.arguments
    return [name for name, each in parameters.items() if getattr(each, "learnable", False)]


def test_layers_of_images_and_tokens_and_those_that_are_frozen():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.GroupNorm(1, 2),
        nn.Flatten(2),
        nn.LayerNorm(16),
        nn.Flatten(),
        nn.Linear(32, 3),
    )
    batch = torch.randn(4, 1, 4, 4), torch.arange(4) % 3
    expected = alone(model, batch)
    model[0].weight.requires_grad_(False)
    gradients, _ = sample_gradients(model, batch, cross_entropy)
    assert "0.weight" not in gradients
    for found, single in zip(gradients.values(), expected[1:], strict=True):
        torch.testing.assert_close(found, single, rtol=1e-4, atol=1e-6)
