import math

import pytest
import torch
import zuko

import actsearch
from actsearch.errors import RequirementError, UnknownNameError
from actsearch.task import laws
from actsearch_tasks.data import densities
from actsearch_tasks.flow import Flow
from actsearch_tasks.flow.bijection import ElementwiseBijection, SiteTransform

SMALL = {"samples": 500, "batch_size": 64}
COUPLING = {"architecture": "coupling", "hidden": 8}
AUTOREGRESSIVE = {"architecture": "autoregressive", "hidden": 8}
VARIANTS = [
    {"depth": 2},
    {"depth": 2, "mixing": "rotation", "data": "rings"},
    COUPLING | {"data": "checkerboard"},
    COUPLING | {"univariate": "spline", "bijection_sites": True},
    AUTOREGRESSIVE | {"data": "wine"},
    AUTOREGRESSIVE | {"univariate": "spline", "depth": 2},
    {"data": "diabetes", "depth": 2},
]


class TestFlow(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Flow

    @pytest.fixture(params=[{}, COUPLING | {"bijection_sites": True}], ids=str)
    def small(self, request):
        return SMALL | {"depth": 2} | request.param

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build(seed=0, **options):
    return laws.build_task(Flow, SMALL | options, seed)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_the_likelihood_rises_and_the_flow_is_exact(options):
    task = build(**options)
    start = float(task(task.select("val")[0]).detach().mean())
    metrics = laws.fit(task, epochs=2)
    assert metrics[task.monitor] > start
    dimensions = task.example_input_array.shape[1]
    expected = -metrics["val_log_likelihood"] / dimensions / math.log(2)
    assert metrics["val_bits_per_dimension"] == pytest.approx(expected, rel=1e-5)
    assert metrics["val_loss"] == -metrics["val_log_likelihood"]
    (result,) = laws.trainer().test(task, verbose=False)
    assert {"test_bits_per_dimension", "samples_per_second"} <= result.keys()
    assert result["round_trip_error"] < 1e-3
    assert result["log_det_error"] < 1e-3


def test_the_density_is_drawn_in_the_plane_alone(tmp_path):
    build(depth=1).pictures(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"samples.png", "density.png"}
    (tmp_path / "table").mkdir()
    build(depth=1, data="wine").pictures(tmp_path / "table")
    assert [file.name for file in (tmp_path / "table").iterdir()] == ["samples.png"]


def test_reads_every_site_name_as_part_of_the_flow():
    def names(**options):
        task = build(**options)
        return [
            site.name
            for site in actsearch.find_sites(task, task.example_input_array)
            if not site.protected
        ]

    assert names(depth=2) == ["flow.bijection_1.activation", "flow.bijection_2.activation"]
    assert names(architecture="coupling", depth=1, bijection_sites=True) == [
        "flow.step_1.hyper.activation_1",
        "flow.step_1.hyper.activation_2",
        "flow.bijection_1.activation",
    ]
    assert names(architecture="autoregressive", univariate="spline", depth=1, layers=1) == [
        "flow.step_1.hyper.activation_1"
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("relu", "bijective is False"),
        ("gelu", "bijective is False"),
        ("tanh", "minimum is -1, maximum is 1"),
        ("softplus", "minimum is 0"),
    ],
)
def test_refuses_what_is_no_bijection_of_the_real_line_with_the_reason(name, reason):
    task = build(depth=1)
    placement = actsearch.Placement.uniform(
        name, actsearch.find_sites(task, task.example_input_array)
    )
    with pytest.raises(RequirementError, match=reason) as caught:
        placement.apply(task, task.example_input_array)
    assert "flow.bijection_1.activation" in str(caught.value)


def test_an_expression_that_is_one_to_one_needs_no_inverse_of_its_own():
    step = ElementwiseBijection("add(x,tanh(x))").double()
    x = torch.linspace(-8, 8, 101, dtype=torch.float64).view(-1, 1).requires_grad_()
    transform = step()
    y = transform(x)
    expected = torch.log(1 + 1 / torch.cosh(x).square())
    log_det = transform.log_abs_det_jacobian(x, y)
    torch.testing.assert_close(log_det, expected.sum(1), rtol=0, atol=1e-12)
    torch.testing.assert_close(transform.inv(y), x, rtol=0, atol=1e-10)
    # Training needs the gradient of the log-determinant.
    (through,) = torch.autograd.grad(log_det.sum(), x)
    (direct,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(through, direct, rtol=0, atol=1e-10)
    with torch.inference_mode():  # as Lightning validates
        same = transform.log_abs_det_jacobian(x.detach().clone(), y)
    assert torch.equal(same, log_det)


def test_the_site_is_seen_to_run():
    step = ElementwiseBijection("leaky_relu", negative_slope=0.5)
    seen = []
    step.activation.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    SiteTransform(step.activation)(torch.ones(3, 2))
    assert seen == [(3, 2)]


def test_autoregressive_splines_are_zukos_neural_spline_flow():
    task = build(
        architecture="autoregressive", univariate="spline", depth=3, hidden=16, layers=2, bins=8
    )
    twin = zuko.flows.NSF(features=2, bins=8, transforms=3, hidden_features=(16, 16))
    theirs, ours = twin.state_dict(), dict(task.flow.named_parameters())
    for number in (1, 2, 3):
        for layer in (1, 2, 3):
            for kind in ("weight", "bias"):
                key = f"transform.transforms.{number - 1}.hyper.{2 * (layer - 1)}.{kind}"
                theirs[key] = ours.pop(f"step_{number}.hyper.linear_{layer}.{kind}").detach()
    assert not ours
    twin.load_state_dict(theirs)
    x = task.tensors[0][:100]
    torch.testing.assert_close(task(x), twin().log_prob(x), rtol=0, atol=1e-6)
    assert sum(p.numel() for p in task.parameters()) == sum(p.numel() for p in twin.parameters())


def test_a_diverged_flow_gives_nan_and_no_exception():
    task = build(depth=1)
    with torch.no_grad():
        task.flow.mix_1.shift.fill_(torch.nan)
    assert task(task.example_input_array).isnan().all()


def test_shapes_are_what_they_are_called():
    assert torch.equal(densities.load_rows("rings", 200, 1), densities.load_rows("rings", 200, 1))
    assert not torch.equal(
        densities.load_rows("rings", 200, 1), densities.load_rows("rings", 200, 2)
    )
    radius = densities.load_rows("rings", 3000, 0).norm(dim=1)
    assert (radius - radius.round()).abs().mean() < 0.1
    assert radius.round().unique().tolist() == [1, 2, 3]
    board = densities.load_rows("checkerboard", 3000, 0).add(2).floor().long()
    assert set(map(tuple, board.tolist())) == {
        (i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0
    }
    moons = densities.load_rows("two_moons", 3000, 0)
    upper, lower = moons.norm(dim=1), (moons - torch.tensor([1.0, 0.5])).norm(dim=1)
    assert torch.minimum((upper - 1).abs(), (lower - 1).abs()).mean() < 0.1


def test_tables_leave_out_columns_without_a_density():
    widths = {
        name: densities.load_rows(name, 0, 0).shape
        for name in ("iris", "wine", "breast_cancer", "diabetes")
    }
    assert widths == {
        "iris": (150, 4),
        "wine": (178, 13),
        "breast_cancer": (569, 30),
        "diabetes": (442, 9),  # no sex
    }


def test_unknown_data_are_refused():
    with pytest.raises(UnknownNameError, match="'two_moon'; nearest: two_moons"):
        build(data="two_moon")
