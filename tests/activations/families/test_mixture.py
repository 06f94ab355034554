"""A mixture finds the right member, and is reduced to it."""

import torch
import torch.nn.functional as F

from actsearch.activations import activation, properties


def test_a_mixture_without_like_starts_at_equal_weights():
    φ = activation("mixture")
    assert φ.start_error is None
    torch.testing.assert_close(φ.weights, torch.full((4,), 0.25))


def test_a_mixture_learns_which_member_is_right_and_is_reduced_to_it():
    torch.manual_seed(0)
    φ = activation("mixture", members=["tanh", "relu", "sine", "mul(x,x)"])
    optimizer = torch.optim.Adam(φ.parameters(), lr=0.3)
    for _ in range(200):
        x = torch.randn(256)
        optimizer.zero_grad()
        F.mse_loss(φ(x), x.sin()).backward()
        optimizer.step()
    winner = φ.reduce()
    assert winner.name == "sine"
    assert float(φ.weights[2]) > 0.9
    assert not winner.has_learned()
    assert activation("mixture", like="tanh").reduce().name == "tanh"


def test_a_mixture_declares_what_all_members_share():
    facts = properties("mixture", members=["relu", "softplus"])
    assert {"convex", "monotone", "smoothness"} <= facts.declared
    assert (facts.convex, facts.monotone, facts.smoothness) == (True, True, 0)
    assert not properties("mixture", members=["tanh", "gelu"]).monotone
