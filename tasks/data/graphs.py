"""Graphs whose nodes have classes: two that come along, PyTorch Geometric's, and one's own."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actsearch.errors import InvalidValueError, TaskError, UnknownNameError

from .images import load_digits
from .tables import read_arrays

DIGITS = 600
"""Images in the graph of the digits."""


@dataclass(frozen=True)
class LabelledGraph:
    """A graph without directions.

    Args:
        x: what is known of each node, float32 ``(N, D)``.
        y: the class of each node ``(N,)``, -1 where it is not known.
        edges: pairs of different nodes ``(E, 2)``, each once.
        classes: the name of every class.
        first: nodes whose classes are told first.
    """

    x: Tensor
    y: Tensor
    edges: Tensor
    classes: tuple[str, ...]
    first: tuple[int, ...] = ()


def load_graph(data: str, data_home: str | None = None, neighbours: int = 10) -> LabelledGraph:
    """Return a graph by name.

    Args:
        data: ``karate``, ``digits``, ``pyg:NAME``, or an ``.npz`` file with arrays y ``(N,)`` and x
            ``(N, D)``, edges ``(E, 2)`` or both. Columns of x are standardised. Without edges, each
            node is joined to its nearest by x; without x, a node is known by its number alone.
        data_home: the folder that PyTorch Geometric calls root.
        neighbours: how many, where a graph is made of x.

    Raises:
        UnknownNameError: none of these.
        InvalidValueError: a file that does not hold such arrays.
        TaskError: PyTorch Geometric is not installed, or cannot read the set.
    """
    source, _, name = data.partition(":")
    if data.endswith(".npz"):
        return _read(data, neighbours)
    if source == "pyg" and name:
        return _load_pyg(name, data_home)
    if data == "karate":
        return _karate()
    if data == "digits":
        found = load_digits()
        rows = np.random.default_rng(0).permutation(len(found.x))[:DIGITS]
        x = found.x[rows].reshape(DIGITS, -1)
        return _graph(data, x, found.y[rows], _nearest(data, x, neighbours), found.classes)
    raise UnknownNameError.among(
        "data", data, ("karate", "digits"), "Or pyg:NAME, or a file that ends in .npz."
    )


def normalised_adjacency(edges: Tensor, nodes: int) -> Tensor:
    r"""Return :math:`D^{-1/2} (A + I) D^{-1/2}`, ``(N, N)``, sparse.

    Args:
        edges: pairs of nodes ``(E, 2)``, each once.
        nodes: N.
    """
    each = torch.arange(nodes)
    both = torch.cat([edges, edges.flip(1), torch.stack([each, each], 1)]).T
    scale = both[0].bincount(minlength=nodes).float().rsqrt()
    values = scale[both[0]] * scale[both[1]]
    matrix = torch.sparse_coo_tensor(both, values, (nodes, nodes), check_invariants=True)
    return matrix.coalesce()


def _karate() -> LabelledGraph:
    """Return Zachary's karate club: 34 members, 78 friendships, and which of two clubs each joined.

    The instructor and the president, 0 and 33, are told first.
    """
    import networkx  # torch brings it

    graph = networkx.karate_club_graph()
    clubs = np.array([club for _, club in graph.nodes(data="club")])
    found = _graph("karate", None, clubs, np.array(graph.edges), ())
    return LabelledGraph(found.x, found.y, found.edges, found.classes, first=(0, 33))


def _read(path: str, neighbours: int) -> LabelledGraph:
    arrays = read_arrays(path, {"x", "y", "edges"})
    x, y, edges = (arrays.get(name) for name in ("x", "y", "edges"))
    if y is None or (x is None and edges is None):
        raise InvalidValueError(
            f"{path} must hold arrays y and x, edges or both, but got {', '.join(arrays)}."
        )
    if x is not None:
        x = _standardised(path, x, len(y))
    if edges is None:
        assert x is not None, "one of both is there"
        edges = _nearest(path, x, neighbours)
    return _graph(path, x, y, edges, ())


def _standardised(path: str, x: np.ndarray, nodes: int) -> np.ndarray:
    if x.ndim != 2 or len(x) != nodes or x.dtype.kind not in "biuf":
        raise InvalidValueError(
            f"x of {path} must be numbers ({nodes}, D), but got {x.dtype} {x.shape}."
        )
    deviation = x.std(0)
    scaled = (x - x.mean(0)) / np.where(deviation > 0, deviation, 1)
    if not np.isfinite(scaled).all():
        raise InvalidValueError(f"x of {path} must be finite, but got NaN or inf.")
    return np.asarray(scaled)


def _load_pyg(name: str, data_home: str | None) -> LabelledGraph:
    """Return the first graph of a set of PyTorch Geometric: ``KarateClub``, ``Planetoid/Cora``."""
    try:
        from torch_geometric import datasets
    except ImportError:
        raise TaskError(
            f"pyg:{name} needs torch_geometric, which is not installed. Install it with"
            ' pip install "actsearch[graph]".'
        ) from None
    kind, _, of = name.partition("/")
    if kind not in datasets.__all__:
        raise UnknownNameError.among("PyTorch Geometric data set", kind, datasets.__all__)
    cls: Any = getattr(datasets, kind)
    given = {"root": data_home or "data"} | ({"name": of} if of else {})
    known = inspect.signature(cls).parameters
    try:
        graph = cls(**{key: value for key, value in given.items() if key in known})[0]
        y, edges = graph.y.numpy(), graph.edge_index.T.numpy()
        x = None if graph.x is None else graph.x.float().numpy()
    except Exception as error:  # each of its sets fails in its own way
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise TaskError(f"pyg:{name} cannot be read from {given['root']}: {reason}.") from error
    return _graph(f"pyg:{name}", x, y, edges, ())


def _nearest(name: str, x: np.ndarray, neighbours: int) -> np.ndarray:
    """Return pairs of nodes of which one is among the nearest of the other."""
    from sklearn.neighbors import NearestNeighbors

    if not neighbours < len(x):
        raise InvalidValueError(
            f"neighbours must be below {len(x)}, the nodes of {name}, but got {neighbours}."
        )
    near = NearestNeighbors(n_neighbors=neighbours).fit(x).kneighbors(return_distance=False)
    return np.stack([np.repeat(np.arange(len(x)), neighbours), near.ravel()], 1)


def _graph(
    name: str, x: np.ndarray | None, y: np.ndarray, edges: np.ndarray, classes: tuple[str, ...]
) -> LabelledGraph:
    """Check a graph, number its classes, and keep each edge between two nodes once.

    Raises:
        InvalidValueError: classes or edges that are none.
    """
    if y.ndim != 1 or y.dtype.kind not in "biuU":
        raise InvalidValueError(
            f"y of {name} must be a class of each node, (N,), but got {y.dtype} {y.shape}."
        )
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu" or not len(edges):
        raise InvalidValueError(
            f"edges of {name} must be pairs of nodes (E, 2), but got {edges.dtype} {edges.shape}."
        )
    if edges.min() < 0 or edges.max() >= len(y):
        raise InvalidValueError(
            f"edges of {name} must join nodes from 0 to {len(y) - 1}, but got"
            f" {edges.min()} to {edges.max()}."
        )
    known = y >= 0 if y.dtype.kind == "i" else np.ones(len(y), bool)
    found, numbers = np.unique(y[known], return_inverse=True)
    if len(found) < 2:
        raise InvalidValueError(
            f"y of {name} must have at least two classes, but got {len(found)}."
        )
    labels = np.full(len(y), -1)
    labels[known] = numbers
    edges = edges[edges[:, 0] != edges[:, 1]].astype(np.int64)
    edges = np.unique(np.sort(edges, 1), axis=0)
    return LabelledGraph(
        torch.eye(len(y)) if x is None else torch.from_numpy(x.astype(np.float32)),
        torch.from_numpy(labels),
        torch.from_numpy(edges),
        classes or tuple(map(str, found)),
    )
