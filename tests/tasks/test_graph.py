import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from actsearch import Placement, find_sites
from actsearch.errors import InvalidValueError, TaskError, UnknownNameError
from actsearch.measures import Fitted, build
from actsearch.measures.functional.dirichlet_energy import dirichlet_energy
from actsearch.run import run_search
from actsearch.task import laws
from actsearch_tasks.data.graphs import normalised_adjacency
from actsearch_tasks.graph import NodeClassification

VARIANTS = [
    {},
    {"convolution": "gcnii", "depth": 4},
    {"convolution": "residual", "depth": 3, "dropout": 0.5},
    {"convolution": "pairnorm"},
    {"data": "digits", "batch_size": 16},
]


class TestGraph(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return NodeClassification

    @pytest.fixture
    def small(self):
        return {"depth": 3}

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build_with(activation="relu", seed=0, **options):
    task = laws.build_task(NodeClassification, options, seed)
    if activation != "relu":
        Placement.uniform(activation, find_sites(task)).apply(task)
    return task


def accuracy(task):
    """Of all nodes that were not trained on."""
    nodes, y = task.tensors
    others = torch.cat([task.splits.val, task.splits.test])
    return float((task(nodes).argmax(1) == y)[others].float().mean())


@pytest.mark.long
@pytest.mark.claim
def test_deep_plain_convolutions_of_relu_collapse_and_those_of_tanh_do_not():
    for depth, name, low, high in (
        (2, "relu", 0.93, 1),
        (16, "relu", 0, 0.6),
        (16, "tanh", 0.9, 1),
    ):
        task = build_with(name, depth=depth)
        found = laws.fit(task, 20)
        assert low <= accuracy(task) <= high, (depth, name)
        assert (found["zero_slope/layer_1.activation"] > 0) == (name == "relu")
        assert len([key for key in found if key.startswith("dirichlet/")]) == depth - 1


@pytest.mark.claim
def test_energy_falls_with_depth_at_the_start():
    energies = torch.tensor(
        [list(build_with(depth=16, seed=seed).energies().values()) for seed in range(5)]
    ).mean(0)
    assert (energies[::7].diff() < 0).all()  # not in every step
    assert energies[-1] < 0.01 < energies[1]


def test_the_matrix_is_the_symmetric_normalisation():
    matrix = normalised_adjacency(torch.tensor([[0, 1], [1, 2]]), 4)
    degrees = torch.tensor([2.0, 3, 2, 1])
    adjacency = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    expected = adjacency / (degrees[:, None] * degrees).sqrt()
    assert torch.allclose(matrix.to_dense(), expected)


class Sparse(NodeClassification):
    """As where there are many nodes."""

    @property
    def adjacency(self):
        self.dense = None
        return super().adjacency


def test_a_sparse_matrix_trains_as_a_dense_one():
    sparse = laws.build_task(Sparse, {})
    assert sparse.adjacency.is_sparse
    assert not build_with().adjacency.is_sparse
    assert laws.fit(sparse) == pytest.approx(laws.fit(build_with()), rel=1e-4)


def test_energy_is_the_quotient_of_differences_between_neighbours():
    task = build_with()
    h = torch.randn(34, 5)
    each = task.graph.edges
    degree = 1.0 + each.flatten().bincount(minlength=34)
    scaled = h / degree.sqrt()[:, None]
    expected = (scaled[each[:, 0]] - scaled[each[:, 1]]).square().sum() / h.square().sum()
    torch.testing.assert_close(dirichlet_energy(h, task.adjacency), expected)
    alike = degree.sqrt()[:, None] * torch.randn(1, 5)
    assert dirichlet_energy(alike, task.adjacency) < 1e-6
    assert dirichlet_energy(0 * h, task.adjacency) == 0


def test_one_layer_is_the_formula():
    task = build_with()
    layer, head = task.network.layer_1, task.network.head
    first = layer.linear.weight.T, layer.linear.bias
    last = head.weight.T, head.bias
    a = task.adjacency
    h = (a @ torch.eye(34) @ first[0] + first[1]).relu()
    expected = a @ h @ last[0] + last[1]
    nodes = torch.tensor([3, 0, 33])
    torch.testing.assert_close(task(nodes), expected[nodes])
    torch.testing.assert_close(task.embed(nodes), h[nodes])


def test_karate_is_told_of_the_two_leaders_and_divides_the_others():
    for seed in range(2):
        task = build_with(split_seed=seed)
        assert task.graph.classes == ("Mr. Hi", "Officer")
        assert task.graph.edges.shape == (78, 2)
        assert task.splits.train.tolist() == [0, 33]
        assert len(task.splits.val) == len(task.splits.test) == 16
        assert torch.cat([*vars(task.splits).values()]).sort().values.tolist() == list(range(34))
    assert task.splits.val.tolist() != build_with().splits.val.tolist()
    assert {0, 33} < set(build_with(labelled=3).splits.train.tolist())


@pytest.fixture
def ring(tmp_path):
    """A ring of two halves, of which a few nodes are not known."""
    y = np.repeat([0, 1], 20)
    y[[3, 25]] = -1
    edges = np.stack([np.arange(40), (np.arange(40) + 1) % 40], 1)
    return tmp_path / "own.npz", {"y": y, "edges": edges}


def test_a_large_table_is_searched(tmp_path):
    digits = load_digits()
    np.savez(tmp_path / "own.npz", x=digits.data, y=digits.target)
    result = run_search(
        (NodeClassification, {"data": str(tmp_path / "own.npz")}),
        trials=2,
        store=tmp_path / "store",
        executor="inline",
        config={"trainer.max_epochs": 3, "trainer.accelerator": "cpu"},
        confirm=0,
    )
    assert [trial.state.name for trial in result.trials[:2]] == ["COMPLETE"] * 2
    assert result.trials[0].value > 0.7


def test_a_graph_of_ones_own_with_unknown_nodes(ring):
    path, arrays = ring
    np.savez(path, **arrays)
    task = build_with(data=str(path), labelled=6)
    used = torch.cat([*vars(task.splits).values()])
    assert len(used) == 38
    assert not {3, 25} & set(used.tolist())
    found = laws.fit(task, 10)
    assert found["val_accuracy"] > 0.7
    values = build("knn_accuracy").values(Fitted(task))
    assert values["knn_accuracy"] > 0.5


def test_a_table_of_ones_own_has_its_nearest_rows_joined(ring):
    path, arrays = ring
    x = np.repeat([[0.0, 1e3], [1.0, 1e3]], 20, axis=0)
    x[:, 0] += 0.01 * np.random.default_rng(0).normal(size=40)
    np.savez(path, y=arrays["y"], x=x)
    task = build_with(data=str(path), neighbours=3)
    sides = task.graph.edges < 20
    assert (sides[:, 0] == sides[:, 1]).all()
    assert laws.fit(task, 5)["val_accuracy"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": None}, "must hold arrays y and x, edges or both, but got edges"),
        ({"y": np.zeros(40)}, r"y of .* must be a class of each node, \(N,\), but got float64"),
        ({"y": np.zeros(40, int)}, "at least two classes, but got 1"),
        ({"edges": np.array([[0, 40]])}, "must join nodes from 0 to 39, but got 0 to 40"),
        (
            {"edges": np.zeros((2, 3), int)},
            r"must be pairs of nodes \(E, 2\), but got int64 \(2, 3",
        ),
        ({"x": np.zeros((39, 2))}, r"x of .* must be numbers \(40, D\), but got float64 \(39, 2\)"),
        ({"x": np.full((40, 2), np.nan)}, "must be finite, but got NaN or inf"),
    ],
    ids=str,
)
def test_files_that_are_no_graph_get_one_line(ring, change, message):
    path, arrays = ring
    np.savez(path, **{k: v for k, v in (arrays | change).items() if v is not None})
    with pytest.raises(InvalidValueError, match=message) as caught:
        NodeClassification(data=str(path))
    assert "\n" not in str(caught.value)


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(UnknownNameError, match="nearest: karate"):
        NodeClassification(data="karat")
    with pytest.raises(InvalidValueError, match=r"40 of each class leave 0\. Label"):
        NodeClassification(labelled=40)
    with pytest.raises(InvalidValueError, match="neighbours must be below 600"):
        NodeClassification(data="digits", neighbours=600)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    with pytest.raises(TaskError, match=r'Install it with pip install "actsearch\[graph\]"'):
        NodeClassification(data="pyg:KarateClub")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*is deprecated:DeprecationWarning")
def test_a_graph_of_pytorch_geometric(tmp_path):
    """Its karate has four classes; what cannot be read is told in one line."""
    pytest.importorskip("torch_geometric", exc_type=ImportError)
    task = build_with(data="pyg:KarateClub", labelled=1)
    assert len(task.graph.classes) == 4
    assert torch.equal(task.graph.edges, build_with().graph.edges)
    assert laws.fit(task, 20)["val_accuracy"] > 0.5
    with pytest.raises(UnknownNameError, match="nearest: KarateClub"):
        NodeClassification(data="pyg:KarateCulb")
    with pytest.raises(TaskError, match="pyg:Planetoid/None cannot be read from") as caught:
        NodeClassification(data="pyg:Planetoid/None", data_home=str(tmp_path))
    assert "\n" not in str(caught.value)
