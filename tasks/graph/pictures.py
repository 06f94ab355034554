"""The picture of a graph: who was taken for what, and how alike all become with depth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from actsearch.task.pictures import DPI, new_figure

from ..data.graphs import LabelledGraph

LARGEST_DRAWN = 1000
"""Nodes up to which a graph is laid out, which takes seconds then."""


def draw_graph(
    path: Path,
    graph: LabelledGraph,
    predicted: Tensor,
    labelled: Tensor,
    energies: Mapping[str, float],
) -> None:
    """Draw the nodes coloured by predicted class, and the Dirichlet energy after each layer.

    Args:
        path: the PNG to write.
        graph: the graph; one of many nodes is left out.
        predicted: the class of each node ``(N,)``.
        labelled: numbers of the nodes that were trained on.
        energies: by name of the layer, in their order.
    """
    from matplotlib.collections import LineCollection

    small = len(graph.y) <= LARGEST_DRAWN
    figure, axes = new_figure(1, 2 if small else 1, size=4.5)
    right = axes[0, -1]
    right.semilogy(range(len(energies)), [max(e, 1e-8) for e in energies.values()], marker="o")
    right.set(xlabel="layer", ylabel="Dirichlet energy", ylim=(None, 2))
    if small:
        at = _layout(graph)
        ax = axes[0, 0]
        ax.add_collection(LineCollection(at[graph.edges], color="grey", linewidth=0.3, zorder=1))
        wrong = (predicted != graph.y) & (graph.y >= 0)
        edge = ["red" if w else "none" for w in wrong.tolist()]
        size = 40 if len(at) <= 100 else 12
        ax.scatter(*at.T, c=predicted.numpy(), cmap="tab10", s=size, edgecolors=edge, zorder=2)
        told = at[labelled].T
        ax.scatter(*told, s=4 * size, facecolors="none", edgecolors="black", label="trained on")
        ax.axis("off")
        ax.set_title(f"{int(wrong.sum())} of {len(at)} wrong (red rim)", fontsize=10)
        ax.legend(fontsize=8)
    figure.savefig(path, dpi=DPI)


def _layout(graph: LabelledGraph) -> np.ndarray:
    """Return where each node is drawn, ``(N, 2)``."""
    import networkx

    net = networkx.empty_graph(len(graph.y))
    net.add_edges_from(graph.edges.tolist())
    placed = networkx.spring_layout(net, seed=0, iterations=50)
    return np.array([placed[node] for node in range(len(graph.y))])
