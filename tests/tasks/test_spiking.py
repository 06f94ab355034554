import numpy as np
import pytest
import torch

import actsearch
from actsearch.activations import Requirement, catalogue, properties
from actsearch.errors import InvalidValueError
from actsearch.task import laws
from actsearch_tasks.spiking import Spiking
from actsearch_tasks.spiking.encoding import encode, intensities
from actsearch_tasks.spiking.network import HEAVISIDE, SpikingLayer, SpikingNetwork

SMALL = {"hidden": 32, "steps": 6, "lr": 0.01}
ENCODINGS = ["rate", "latency", "direct"]


class TestSpiking(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Spiking

    @pytest.fixture
    def small(self):
        return SMALL

    @pytest.fixture(params=ENCODINGS)
    def variant(self, request):
        return {"encoding": request.param}


def build(seed=0, **options):
    return laws.build_task(Spiking, options, seed)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_learns_and_logs_spikes_and_gradients_of_every_layer(encoding):
    task = build(encoding=encoding, log_time_steps=True, **SMALL)
    names = [site.name for site in actsearch.find_sites(task, task.example_input_array)]
    assert names == ["network.layer_1.surrogate", "network.layer_2.surrogate"]
    metrics = laws.fit(task, epochs=3)
    assert metrics[task.monitor] > 0.4, metrics
    layers = ("layer_1", "layer_2")
    assert metrics["val_spikes"] == pytest.approx(sum(metrics[f"spikes/{name}"] for name in layers))
    for name in layers:
        assert 0 <= metrics[f"silent/{name}"] < 1
        steps = [metrics[f"gradient_norm/{name}/step_{t}"] for t in range(1, 7)]
        assert metrics[f"gradient_norm/{name}"] == pytest.approx(sum(s * s for s in steps) ** 0.5)
        assert max(steps) > 0
    (result,) = laws.trainer().test(task, verbose=False)
    assert result.keys() == {"test_loss", "test_spikes", task.test_metric}


@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
def test_the_readout_is_the_mean_potential_of_a_leaky_integrator_stepped_literally(decay):
    torch.manual_seed(0)
    network = SpikingNetwork(5, 7, 2, 3, decay=decay, threshold=1.0)
    x = (torch.rand(4, 6, 5) < 0.5).float()
    activity = network.run(x)
    potential, total = torch.zeros(4, 3), torch.zeros(4, 3)
    for spikes in activity.spikes[-1]:
        potential = decay * potential + network.readout(spikes)
        total = total + potential
    torch.testing.assert_close(activity.logits, total / 6)


def test_a_layer_is_its_recursion_and_its_gradient_that_of_the_potential():
    """∂L/∂u_t by adding a zero to the potential of one step, which the recursion carries on."""
    torch.manual_seed(0)
    layer = SpikingLayer(4, 3, decay=0.8, threshold=0.5)
    x = (torch.rand(5, 2, 4) < 0.5).float()
    zeros = torch.zeros(5, 2, 3, requires_grad=True)
    potential = spike = torch.zeros(2, 3)
    spikes = []
    for t, current in enumerate(layer.linear(x)):
        potential = 0.8 * potential + current - 0.5 * spike.detach() + zeros[t]
        spike = layer.surrogate(potential - 0.5)
        spikes.append(spike)
    weights = torch.rand(5, 2, 3)
    (expected,) = torch.autograd.grad((torch.stack(spikes) * weights).sum(), zeros)
    currents, out = layer(x)
    assert torch.equal(out, torch.stack(spikes))
    (found,) = torch.autograd.grad((out * weights).sum(), currents)
    torch.testing.assert_close(found, expected)
    assert expected.abs().sum() > 0


def test_rate_encoding_spikes_as_often_as_the_intensity_says_and_validation_always_the_same():
    x = torch.tensor([[0.0, 0.25, 1.0]]).repeat(4000, 1)
    train = encode(x, "rate", 5, torch.Generator().manual_seed(0))
    assert train.unique().tolist() == [0, 1]
    assert train.mean((0, 1)).tolist() == pytest.approx([0, 0.25, 1], abs=0.01)
    task = build(**SMALL)
    rows = task.tensors[0][:8]
    assert torch.equal(task.encode(rows, seed=0), task.encode(rows, seed=0))
    assert not torch.equal(task.encode(rows), task.encode(rows))


def test_latency_encoding_fires_once_the_earlier_the_brighter():
    x = torch.linspace(0, 1, 11)[None]
    train = encode(x, "latency", 6)[0]
    assert train.sum(0).tolist() == [0] + [1] * 10
    times = train[:, 1:].argmax(0)
    assert (times.diff() <= 0).all()
    assert times[-1] == 0
    assert train.shape == (6, 11)
    assert torch.equal(encode(x, "direct", 6)[0], x.expand(6, -1))


def test_intensities_stay_in_their_range_whatever_the_rows():
    table = torch.tensor([[0.0, 5.0], [10.0, 5.0], [20.0, float("nan")], [-5.0, 6.0]])
    out = intensities(table, torch.tensor([0, 1]))
    assert out.tolist() == [[0, 0], [1, 0], [1, 0], [0, 1]]
    image = torch.tensor([[[[0.0, 2.0]]], [[[4.0, 1.0]]]])
    assert intensities(image, torch.tensor([0, 1])).tolist() == [[0, 0.5], [1, 0.25]]


def test_reads_event_data(tmp_path):
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    spikes = generator.random((60, 8, 2, 3)) < np.where(labels, 0.6, 0.1)[:, None, None, None]
    np.savez(tmp_path / "events.npz", spikes=spikes, labels=labels)
    task = build(data=str(tmp_path / "events.npz"), hidden=16, lr=0.02, batch_size=8)
    assert task.steps == 8
    assert task.example_input_array.shape[1:] == (8, 6)
    assert torch.equal(task.tensors[0][3], torch.from_numpy(spikes[3].reshape(8, 6)).float())
    assert laws.fit(task, epochs=5)["val_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"spikes": np.zeros((4, 2)), "labels": np.arange(4)},
            r"must have shape \(samples, time steps, ...\), but got \(4, 2\)",
        ),
        (
            {"spikes": -np.ones((20, 2, 3)), "labels": np.repeat([0, 1], 10)},
            "spikes must be counts of at least 0, but got -1.0",
        ),
        ({"spikes": np.zeros((4, 2, 3))}, "must hold arrays x and y, or images and labels"),
    ],
    ids=["no time", "negative", "no labels"],
)
def test_bad_event_files_get_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InvalidValueError, match=message) as caught:
        Spiking(data=str(tmp_path / "bad.npz"))
    assert "\n" not in str(caught.value)


def test_event_data_take_no_encoding(tmp_path):
    np.savez(tmp_path / "events.npz", spikes=np.ones((20, 4, 2)), labels=np.repeat([0, 1], 10))
    for options in ({"encoding": "rate"}, {"steps": 4}):
        with pytest.raises(
            InvalidValueError, match="event data must have no encoding and no steps"
        ):
            Spiking(data=str(tmp_path / "events.npz"), **options)


def test_the_site_takes_surrogates_and_nothing_else():
    allowed = {name for name in catalogue() if Requirement(HEAVISIDE).allows(properties(name))}
    surrogates = {name for name in catalogue() if name.endswith("_surrogate")}
    assert allowed == surrogates | {"straight_through"}


def test_the_default_surrogate_is_that_of_snntorch_in_value_and_gradient():
    surrogate = pytest.importorskip("snntorch.surrogate")
    x = torch.linspace(-3, 3, 61, dtype=torch.float64, requires_grad=True)
    site = SpikingLayer(1, 1, 0.9, 1.0).surrogate
    ours, theirs = site(x), surrogate.atan()(x)
    assert torch.equal(ours, theirs)
    torch.testing.assert_close(
        *(torch.autograd.grad(y.sum(), x)[0] for y in (ours, theirs)), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("learn", [True, False])
def test_sharpness_is_learned_or_stays_and_the_surrogate_curves_show_every_channel(learn, tmp_path):
    task = build(**SMALL)
    entry = {"activation": "fast_sigmoid_surrogate", "parameters": {"sharpness": 5.0}}
    entry |= {"learn": ["sharpness"], "share": "channel"} if learn else {}
    actsearch.Placement.uniform(entry, actsearch.find_sites(task, task.example_input_array)).apply(
        task, task.example_input_array
    )
    laws.fit(task)
    for name in task.network.layers:
        learned = list(task.network.get_submodule(name).surrogate.parameters())
        assert [p.numel() for p in learned] == [32] * learn
        assert all(p.unique().numel() > 1 for p in learned)  # every channel went its own way
    task.pictures(tmp_path)
    assert (tmp_path / "surrogates.png").stat().st_size > 0
