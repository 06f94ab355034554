import pytest
from torch import nn

from actsearch.placement.discovery.naming import block_of, readings, stage_of
from actsearch.placement.replacement.dispatch import position


class Block(nn.Sequential):
    pass


def nested():
    model = nn.Module()
    model.layer1 = nn.Sequential(Block(nn.ReLU()), Block(nn.ReLU()))
    model.features = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model.body = nn.Sequential(nn.Sequential(Block(nn.ReLU())))
    model.denseblock1 = nn.Module()
    model.denseblock1.denselayer2 = Block(nn.ReLU())
    return model


@pytest.mark.parametrize(
    ("name", "block", "stage"),
    [
        ("layer1.0.relu@2", "layer1.0", "layer1"),
        ("features.1", "features", "features"),
        ("body.0.0.act", "body.0.0", "body.0"),
        ("denseblock1.denselayer2.relu", "denseblock1.denselayer2", "denseblock1"),
        ("relu@2", "", ""),
    ],
)
def test_blocks_and_stages(name, block, stage):
    assert block_of(nested(), name) == block
    assert (stage_of(block) if block else "") == stage


@pytest.mark.parametrize(
    ("sequence", "continued"),
    [((0,), [0, 0, 0]), ((0, 1, 1), [1, 1, 1]), ((0, 1, 0, 1), [0, 1, 0]), ((0, 1, 2), [0, 1, 2])],
)
def test_calls_past_the_known_ones(sequence, continued):
    numbers = range(len(sequence), len(sequence) + 3)
    assert [sequence[position(sequence, number)] for number in numbers] == continued


def test_readings_of_names():
    known = ["net.0.relu", "net.0.relu@2", "head.1"]
    assert readings(known[:2], known) == {"": {name: name for name in known[:2]}}
    assert readings(["0.relu", "0.relu@2"], known) == {
        "as part of 'net'": {"0.relu": "net.0.relu", "0.relu@2": "net.0.relu@2"}
    }
    for prefix in ("module.", "_orig_mod.", "model.", "a.b."):
        assert readings([prefix + name for name in known], known) == {
            f"without {prefix!r}": {prefix + name: name for name in known}
        }
    assert readings(["0.relu", "1"], known) == {}, "each fits, but not by one prefix"
    assert readings(["model.head.1", "net.0.relu"], known) == {}
    assert readings([], known) == {"": {}}
