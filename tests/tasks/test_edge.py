import pytest
import torch
from torch import nn

from actsearch.errors import ActsearchError
from actsearch.export import c_compiler, c_source
from actsearch.export.cost import cycles, operations
from actsearch.measures import Fitted, build
from actsearch.search.space.search_space import SearchSpace
from actsearch.task import laws
from actsearch_tasks.edge import Edge
from actsearch_tasks.edge.network import in_whole_numbers
from actsearch_tasks.edge.pictures import errors_and_costs

VARIANTS = [{}, {"data": "digits", "backbone": "convolution", "quantise": "int8"}]


class TestEdge(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Edge

    @pytest.fixture
    def small(self):
        return {"data": "iris", "hidden": 4}

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


@pytest.mark.claim
def test_cheap_forms_cost_less_and_division_is_dear_on_the_device():
    found = errors_and_costs()
    errors, additions, device = (
        {name: each[place] for name, each in found.items()} for place in (1, 2, 3)
    )
    for name, stated in (("quadratic_tanh", 0.0433), ("pade_tanh", 0.0236)):
        assert errors[name] == pytest.approx(stated, abs=1e-4)
    assert errors["tanh"] == 0
    assert errors["piecewise_linear_tanh"] < errors["pade_tanh"] < errors["quadratic_tanh"]
    alone = {name for name in additions if errors[name] and name != "quick_gelu"}  # of exp
    assert max(additions[name] for name in alone) < additions["tanh"]
    assert device["quadratic_tanh"] < device["pade_tanh"] < device["tanh"]


def test_a_cheaper_placement_has_a_lower_cost_and_the_same_weights():
    found, sources = [], []
    for name in ("relu", "quadratic_tanh", "tanh"):
        task = laws.build_task(Edge, {"data": "iris", "hidden": 4, "start": name})
        sources.append(c_source(task, [task.example_input_array]))
        found.append((operations(sources[-1].counts), cycles(sources[-1].counts)))
    assert found[0] < found[1] < found[2]
    assert found[0][1] < found[1][1] < found[2][1]
    assert len({(one.flash_bytes, one.ram_bytes) for one in sources}) == 1
    # 4·4 + 4·4 + 4·3 multiplications and additions, and tanh of 8 units at 40 each.
    assert found[2][0] == 2 * 44 + 320
    fitted = Fitted(task)
    assert build("cost", {"unit": "cycles", "clock": 64.0})(fitted) == found[2][1] / 64
    if c_compiler() is not None:
        assert build("cost", {"unit": "latency"})(fitted) > 0


@pytest.mark.parametrize("backbone", ["mlp", "convolution"])
def test_bytes_are_what_is_exported_and_what_they_change_is_logged(backbone):
    options = {"backbone": backbone, "hidden": 4}
    plain, small = (
        laws.build_task(Edge, options | {"quantise": kind}) for kind in ("none", "int8")
    )
    small.load_state_dict(plain.state_dict())
    x = plain.example_input_array
    weights = sum(
        m.weight.numel() for m in plain.modules() if isinstance(m, (nn.Linear, nn.Conv2d))
    )
    less = c_source(plain, [x]).flash_bytes - c_source(small, [x]).flash_bytes
    assert less == 3 * weights
    assert torch.equal(small.train()(x), plain.train()(x))
    in_bytes, exact = small.eval()(x), plain.eval()(x)
    error = small.figures("val", {})["quantisation_error"]
    assert 0 < error < 0.05
    assert not torch.equal(in_bytes, exact)
    torch.testing.assert_close(small.eval()(x), in_bytes)
    assert "val_quantisation_error" in laws.fit(small.train())


def test_whole_numbers_are_as_near_as_half_a_step():
    weight = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    numbers, scale = in_whole_numbers(weight)
    assert numbers.dtype == torch.int8
    assert int(numbers.abs().max()) == 127
    assert float((numbers * scale - weight).abs().max()) <= 0.5001 * float(scale)
    zero, _ = in_whole_numbers(torch.zeros(2))
    assert not zero.any()


def test_the_space_has_what_stands_in_for_the_three():
    names = set(SearchSpace.load("edge").activations)
    assert {"tanh", "sigmoid", "gelu", "pade_tanh", "plan_sigmoid", "quick_gelu"} <= names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "convolution", "data": "wine"}, "must be given images of at least 4×4"),
        ({"data": "wines"}, "nearest: wine"),
        ({"start": "tahn"}, "unknown activation 'tahn'; nearest: tanh"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ActsearchError, match=message) as caught:
        Edge(**options)
    assert "\n" not in str(caught.value)
