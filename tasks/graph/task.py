"""Classes of nodes, learned from a few: graph convolution and its depth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.dirichlet_energy import dirichlet_energy
from actsearch.measures.functional.gradient_flow import gradient_flow
from actsearch.placement.optimiser import parameter_groups
from actsearch.task.options import (
    Interval,
    NonNegativeFloat,
    NonNegativeInt,
    OpenUnitInterval,
    PositiveFloat,
    PositiveInt,
)
from actsearch.task.pictures import evaluating
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Splits

from ..data.graphs import LabelledGraph, load_graph, normalised_adjacency
from .network import Convolution, GraphNetwork
from .pictures import draw_graph

LARGEST_DENSE = 1000
"""Nodes up to which a dense matrix is as fast as a sparse one, and trains several seeds at once."""


class NodeClassification(TensorTask):
    r"""Classes of a graph's nodes by graph convolution, learned from a few labelled ones.

    .. math:: H_{l+1} = \varphi(\hat A H_l W_l + b_l), \qquad
              \hat A = D^{-1/2} (A + I) D^{-1/2}

    The whole graph is seen in training, the classes of few nodes: some of each class are trained
    on, the others are divided into validation and test. Plain convolutions make nodes alike, and
    which activations stand there decides at which depth training fails. Logged: ``val_loss`` and
    ``val_accuracy``, in test as well; and for each layer or site, at each validation,
    ``dirichlet/LAYER`` (how much neighbours differ, 0 where all are alike), ``gradient_norm/SITE``
    and ``zero_slope/SITE`` (share of entries whose derivative is 0).

    A graph of one's own, such as who cites or who pays whom; or a table alone, whose nearest
    neighbours are joined::

        np.savez("own.npz", x=x, edges=edges, y=y)  # (N, D), (E, 2), (N,) with -1 for unknown
        actsearch search graph --task.data own.npz --task.labelled 5

    Shapes:
        input node numbers ``(B,)``, output logits ``(B, classes)``.

    Args:
        data: ``karate``, Zachary's club of 34 with the two it fell into; ``digits``, 600 images,
            each joined to its nearest; ``pyg:NAME`` of PyTorch Geometric, such as
            ``pyg:KarateClub`` (another karate: four classes, by modularity) or
            ``pyg:Planetoid/Cora`` (which it downloads, and unpickles: trust the source); or an
            ``.npz`` file with arrays y ``(N,)``, below 0 where it is not known, and x ``(N, D)``,
            edges ``(E, 2)`` or both.
        data_home: folder of PyTorch Geometric's data.
        neighbours: that a node is joined to where the data have no edges, at least 1.
        labelled: nodes of each class that are trained on, drawn by ``split_seed``; of ``karate`` 1,
            the instructor and the president, of others 5 where not given.
        convolution: ``gcn``; ``gcnii`` with initial residual and identity map; ``residual``; or
            ``pairnorm``. They differ from the second layer on (``pairnorm`` from the first).
        depth: convolutions, at least 2; a site follows each but the last.
        hidden: channels of a layer, at least 1.
        dropout: share of what enters a convolution that training sets to 0, at most 0.95.
        validation_share: of the nodes that are not trained on, a share of ``validation_share /
            (validation_share + test_share)`` goes to validation, in (0, 1).
        test_share: the others go to the test, in (0, 1).
        batch_size: labelled nodes of a training step, at least 1; the whole graph is computed for
            each.
        lr: learning rate :math:`\eta` of Adam, above 0.
        weight_decay: of an L2 penalty in Adam's gradient, as Kipf and Welling have it, at least 0;
            without it, deep convolutions of ReLU collapse less.
        split_seed: seed of the splits.

    Raises:
        ActsearchError: an option out of its range, or data that cannot be read.

    References:
        Semi-Supervised Classification with Graph Convolutional Networks, T. Kipf and M. Welling,
        2016, https://arxiv.org/abs/1609.02907
        An Information Flow Model for Conflict and Fission in Small Groups, W. Zachary, 1977,
        https://doi.org/10.1086/jar.33.4.3629752
    """

    monitor = "val_accuracy"
    mode = "max"
    test_metric = "test_accuracy"
    space = "rectifiers"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 20}
    schedule = "constant"
    epoch_steps = 10
    least_batch = 1
    features: Tensor
    dense: Tensor | None
    places: Tensor
    weights: Tensor

    def __init__(
        self,
        data: str = "karate",
        data_home: str | None = None,
        neighbours: PositiveInt = 10,
        labelled: PositiveInt | None = None,
        convolution: Convolution = "gcn",
        depth: Annotated[int, Interval(2)] = 2,
        hidden: PositiveInt = 16,
        dropout: Annotated[float, Interval(0, 0.95)] = 0.0,
        validation_share: OpenUnitInterval = 0.2,
        test_share: OpenUnitInterval = 0.2,
        batch_size: PositiveInt = 1024,
        lr: PositiveFloat = 0.01,
        weight_decay: NonNegativeFloat = 5e-4,
        split_seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, lr, weight_decay, validation_share, test_share, split_seed)
        graph = load_graph(data, data_home, neighbours)
        self.graph = graph
        count = labelled or (1 if data == "karate" else 5)
        share = validation_share / (validation_share + test_share)
        rows = torch.arange(len(graph.y))
        self.hold_divided((rows, graph.y), _divide(graph, count, share, split_seed))
        self.register_buffer("features", graph.x, persistent=False)
        matrix = normalised_adjacency(graph.edges, len(graph.y))
        dense = matrix.to_dense() if len(graph.y) <= LARGEST_DENSE else None
        self.register_buffer("dense", dense, persistent=False)
        self.register_buffer("places", matrix.indices(), persistent=False)
        self.register_buffer("weights", matrix.values(), persistent=False)
        self.network = GraphNetwork(
            graph.x.shape[1], hidden, len(graph.classes), depth, convolution, dropout
        )

    @property
    def adjacency(self) -> Tensor:
        r"""The matrix :math:`\hat A`, ``(N, N)``; sparse for many nodes."""
        if self.dense is not None:
            return self.dense
        # Made anew, since a sparse buffer can be neither compared nor stacked.
        shape = (len(self.features), len(self.features))
        return torch.sparse_coo_tensor(
            self.places, self.weights, shape, check_invariants=False, is_coalesced=True
        )

    def forward(self, nodes: Tensor) -> Tensor:
        """Return the logits of some nodes."""
        return cast(Tensor, self.network(self.features, self.adjacency)[nodes])

    def embed(self, nodes: Tensor) -> Tensor:
        """Return what some nodes hold after the last activation."""
        *_, (_, h) = self.network.hidden(self.features, self.adjacency)
        return h[nodes]

    @override
    def loss(self, batch: Batch) -> Tensor:
        nodes, y = batch
        return F.cross_entropy(self(nodes), y)

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        nodes, y = batch
        logits = self(nodes)
        hit = (logits.argmax(1) == y).float()
        return {"loss": F.cross_entropy(logits, y, reduction="none"), "accuracy": hit}

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        groups = parameter_groups(self, lr=self.lr, weight_decay=self.weight_decay)
        return torch.optim.Adam(groups, fused=self.device.type == "cpu")

    @override
    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.log_dict({f"dirichlet/{layer}": e for layer, e in self.energies().items()})
        with torch.inference_mode(False):
            batch = tuple(rows.to(self.device) for rows in self.select("train"))
            for site in gradient_flow(self.network, lambda: self.loss(batch)):
                self.log(f"gradient_norm/{site.name}", site.gradient_norm)
                self.log(f"zero_slope/{site.name}", site.zero_slope)

    @torch.no_grad()
    def energies(self) -> dict[str, Tensor]:
        """Return the Dirichlet energy of what the nodes hold after each layer."""
        return {
            layer: dirichlet_energy(h, self.adjacency)
            for layer, h in self.network.hidden(self.features, self.adjacency)
        }

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write the graph coloured by prediction, and the energy against depth."""
        with evaluating(self):
            predicted = self(torch.arange(len(self.graph.y), device=self.device)).argmax(1).cpu()
            energies = {"input": dirichlet_energy(self.features, self.adjacency), **self.energies()}
        found = {name: float(energy) for name, energy in energies.items()}
        draw_graph(folder / "graph.png", self.graph, predicted, self.splits.train, found)


def _divide(graph: LabelledGraph, labelled: int, share: float, seed: int) -> Splits:
    """Return which nodes are trained on, and a division of the others of known class.

    Raises:
        InvalidValueError: there are no others.
    """
    order = torch.randperm(len(graph.y), generator=torch.Generator().manual_seed(seed))
    first = torch.tensor(graph.first, dtype=torch.long)
    order = torch.cat([first, order[~torch.isin(order, first)]])
    order = order[graph.y[order] >= 0]
    each = [order[graph.y[order] == number][:labelled] for number in range(len(graph.classes))]
    train = torch.cat(each)
    others = order[~torch.isin(order, train)]
    cut = round(share * len(others))
    if not 0 < cut < len(others):
        raise InvalidValueError(
            f"labelled must leave nodes for validation and test, but of {len(order)} nodes of known"
            f" class {labelled} of each class leave {len(others)}. Label fewer."
        )
    return Splits(*(part.sort().values for part in (train, others[:cut], others[cut:])))
