"""Linear regions, against formulas, linear programmes and grids."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from actsearch.measures import Fitted
from actsearch.measures.functional.regions import plane_cells, segment_cells
from actsearch.measures.piecewise_linear import PiecewiseLinearNetwork
from actsearch.placement import Site

pytestmark = pytest.mark.claim

SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def network(model, inputs=2):
    return PiecewiseLinearNetwork(Fitted(model, example=torch.zeros(1, inputs)), "a count")


def cells(model, reach=1e4, limit=20_000):
    found = network(model)
    return plane_cells(found.site_inputs, [s.units for s in found.sites], reach * SQUARE, limit)


def layer(weights, biases, activation="relu"):
    linear = nn.Linear(2, len(weights))
    linear.weight.data = torch.tensor(weights, dtype=torch.float32)
    linear.bias.data = torch.tensor(biases, dtype=torch.float32)
    return nn.Sequential(linear, Site(activation))


def random_lines(count, seed, inputs=2):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, count), Site("relu"))


@pytest.mark.parametrize(("lines", "regions"), [(4, 11), (6, 22), (10, 56), (16, 137), (24, 301)])
def test_lines_in_general_position_make_as_many_as_zaslavsky_counts(lines, regions):
    assert regions == sum(math.comb(lines, k) for k in range(3))
    assert [len(cells(random_lines(lines, seed))) for seed in range(3)] == [regions] * 3


@pytest.mark.parametrize(("planes", "regions"), [(6, 42), (10, 176)])
def test_planes_in_space_make_as_many_as_zaslavsky_counts(planes, regions):
    """A plane adds as many regions as those before it cut it into."""
    model = random_lines(planes, seed=0, inputs=3)
    found = network(model, 3)
    weights, biases = (p.detach().double().numpy() for p in model[0].parameters())
    count = 2  # what the first plane makes
    for index in range(1, planes):
        w, b = weights[index], biases[index]
        start, axes = -b * w / (w @ w), np.linalg.svd(w[None])[2][1:]

        def before(points, index=index, start=start, axes=axes):
            return [found.site_inputs(start + points @ axes)[0][:, :index]]

        count += len(plane_cells(before, [found.sites[0].units[:index]], 1e4 * SQUARE, 1000))
    assert count == regions


@pytest.mark.parametrize(
    ("weights", "biases", "regions"),
    [
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], [0, 0, 0, 0], 4),
        ([[1, 0], [-1, 0], [0, 1], [0, 1]], [0, 0, 0, 0], 4),
        ([[1, 0], [0.3, 1], [-0.7, 0.1], [0.5, -1.1]], [0, 0, 0, 0], 8),
        ([[1, 0], [1, 0], [0, 1], [0, 1]], [0, 1, 0, 1], 9),
    ],
    ids=["half-planes", "a sign flipped", "through the origin", "parallel"],
)
def test_lines_in_special_position(weights, biases, regions):
    assert len(cells(layer(weights, biases))) == regions


def test_every_kink_is_a_line():
    weights, biases = [[1.0, 0.2], [0.1, 1.0]], [0.0, 0.3]
    assert len(cells(layer(weights, biases, "hardtanh"))) == 9
    assert len(cells(layer(weights, biases, "identity"))) == 1


def feasible(model, signs, margin=1e-9):
    """Whether a point within reach has these signs: a linear programme."""
    w, b = (p.detach().double().numpy() for p in model[0].parameters())
    signs = np.array(signs)[:, None]
    norm = np.linalg.norm(w, axis=1, keepdims=True)
    rows = np.hstack([-signs * w, norm])
    solved = linprog([0, 0, -1], rows, signs[:, 0] * b, bounds=[(-1e5, 1e5)] * 2 + [(None, 1)])
    return solved.status == 0 and -solved.fun > margin


def test_the_patterns_are_those_that_linear_programmes_find():
    model = random_lines(7, seed=3)
    patterns = {s for s in itertools.product((1, -1), repeat=7) if feasible(model, s)}
    middles = np.array([np.unique(cell, axis=0).mean(0) for cell in cells(model)])
    inside = np.sign(network(model).site_inputs(middles)[0]).astype(int)
    assert set(map(tuple, inside.tolist())) == patterns
    assert len(inside) == len(patterns) == 29


def deep(seed=0):
    torch.manual_seed(seed)
    layers = [(nn.Linear(2 if i == 0 else 8, 8), Site("relu")) for i in range(3)]
    return nn.Sequential(*itertools.chain(*layers))


def test_positive_factors_change_nothing():
    model = deep()
    before = cells(model, 3.0)
    with torch.no_grad():
        for number, linear in enumerate(model[::2], start=1):
            linear.weight.mul_(7.3)
            linear.bias.mul_(7.3**number)  # what enters has grown with each layer before
    after = cells(model, 3.0)
    assert len(after) == len(before)
    assert np.allclose(np.sort(after.ravel()), np.sort(before.ravel()), atol=1e-5)


def test_of_a_deep_network_a_grid_finds_less_and_comes_near():
    model = deep()
    count = len(cells(model, 3.0))
    patterns = []
    for steps in (50, 200, 800):
        axis = np.linspace(-3, 3, steps)
        grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
        active = np.concatenate([z > 0 for z in network(model).site_inputs(grid)], 1)
        patterns.append(len(np.unique(np.packbits(active, axis=1), axis=0)))
    assert patterns == sorted(patterns)
    assert patterns[0] < 0.9 * count
    assert 0.99 * count <= patterns[-1] <= count


def test_the_cells_fill_the_window_and_the_network_is_affine_on_each():
    model = deep(1)
    found, reach = network(model), 3.0
    area = 0.0
    generator = np.random.default_rng(0)
    for cell in cells(model, reach):
        corners = cell[[0, *np.flatnonzero((cell != cell[0]).any(1))]]
        x, y = corners.T
        area += 0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1))
        shares = generator.dirichlet(np.ones(len(corners)))
        at = found.outputs(np.vstack([corners, shares @ corners]))
        assert np.allclose(at[-1], shares @ at[:-1], atol=1e-9)
    assert area == pytest.approx((2 * reach) ** 2, rel=1e-9)


def test_a_segment_has_the_intervals_that_a_fine_grid_has():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, 40), Site("relu"), nn.Linear(40, 40), Site("hardtanh"), nn.Linear(40, 3)
    )
    found = network(model, 5)
    start, end = torch.randn(2, 5).double().numpy() * 3

    def along(points):
        return found.site_inputs(start + points * (end - start))

    ends = segment_cells(along, [site.units for site in found.sites], 1000)
    grid = np.linspace(0, 1, 200_001)[:, None]
    first, second = along(grid)
    patterns = np.hstack([first > 0, second > -1, second > 1])
    changes = np.flatnonzero((patterns[1:] != patterns[:-1]).any(1))
    assert len(ends) - 1 > 20
    assert len(changes) == len(ends) - 2
    assert np.allclose(ends[1:-1], grid[changes, 0], atol=1e-5)
    for left, right in itertools.pairwise(ends):
        thirds = found.outputs(start + np.linspace(left, right, 4)[:, None] * (end - start))
        assert np.allclose(np.diff(thirds, 2, axis=0), 0, atol=1e-9)


def test_counting_ends_at_the_limit():
    model = random_lines(24, seed=0)
    assert 100 <= len(cells(model, limit=100)) < 200
    assert len(cells(model, limit=301)) == len(cells(model, limit=302)) == 301
