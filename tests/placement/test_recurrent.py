import copy

import pytest
import torch
from torch import nn

from actsearch import Placement, find_sites
from actsearch.errors import InvalidValueError
from actsearch.placement.recurrent import GRU, LSTM, RNN

PAIRS = [
    (RNN, nn.RNN, {}),
    (RNN, nn.RNN, {"nonlinearity": "relu"}),
    (LSTM, nn.LSTM, {}),
    (GRU, nn.GRU, {}),
]


@pytest.mark.parametrize(("own", "fused", "extra"), PAIRS)
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"bias": False}]
)
def test_agrees_with_torch(own, fused, extra, options):
    torch.manual_seed(0)
    reference = fused(3, 4, **options, **extra)
    layer = own.from_torch(reference)
    assert set(layer.state_dict()) == set(reference.state_dict())
    x = torch.randn(2, 5, 3)
    y, state = layer(x)
    expected, expected_state = reference(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(state, expected_state)
    again, _ = layer(x, expected_state)
    torch.testing.assert_close(again, reference(x, expected_state)[0])


def test_unbatched():
    reference = nn.LSTM(3, 4)
    x = torch.randn(5, 3)
    torch.testing.assert_close(LSTM.from_torch(reference)(x), reference(x))


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (RNN(3, 4), ["activation_l0"]),
        (LSTM(3, 4), ["candidate_l0", "output_l0"]),
        (GRU(3, 4), ["candidate_l0"]),
    ],
)
def test_sites_are_open_and_gates_are_not(layer, names):
    sites = find_sites(layer, torch.randn(6, 2, 3))
    assert sorted(site.name for site in sites.open) == names
    assert all(site.activation == "sigmoid" for site in sites.protected)
    assert bool(len(sites.protected)) == (not isinstance(layer, RNN))
    before = copy.deepcopy(layer)
    Placement.uniform("relu", sites).apply(layer)
    x = torch.randn(6, 2, 3)
    assert not torch.allclose(layer(x)[0], before(x)[0])


def test_refuses():
    with pytest.raises(InvalidValueError, match="hidden_size must be at least 1, but got 0"):
        RNN(3, 0)
    with pytest.raises(InvalidValueError, match="Pad packed sequences"):
        RNN(3, 4)(nn.utils.rnn.pack_sequence([torch.randn(2, 3)]))
    with pytest.raises(InvalidValueError, match="proj_size must be 0"):
        LSTM.from_torch(nn.LSTM(3, 4, proj_size=2))
    with pytest.raises(InvalidValueError, match=r"layer must be an nn\.GRU, but got LSTM"):
        GRU.from_torch(nn.LSTM(3, 4))
