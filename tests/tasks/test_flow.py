import logging
import math

import lightning as L
import pytest
import torch
import zuko

import actsearch
from actsearch.errors import ActsearchError, InvalidValueError, RequirementError, UnknownNameError
from actsearch.run import run_search
from actsearch_tasks import _densities as densities
from actsearch_tasks._flows import ElementwiseBijection, SiteTransform
from actsearch_tasks.flow import Flow


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)


def trainer(epochs):
    return L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def fit(task, epochs=2):
    run = trainer(epochs)
    run.fit(task)
    return {name: float(value) for name, value in run.callback_metrics.items()}


def build(seed=0, **options):
    L.seed_everything(seed, verbose=False)
    return Flow(**{"samples": 500, "batch_size": 64} | options)


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 2},
        {"depth": 2, "mixing": "rotation", "data": "rings"},
        {"architecture": "coupling", "hidden": 8, "data": "checkerboard"},
        {"architecture": "coupling", "hidden": 8, "univariate": "spline", "bijection_sites": True},
        {"architecture": "autoregressive", "hidden": 8, "data": "wine"},
        {"architecture": "autoregressive", "hidden": 8, "univariate": "spline", "depth": 2},
        {"data": "diabetes", "depth": 2},
    ],
    ids=str,
)
def test_trains_with_a_bare_trainer_and_logs_what_it_names(options):
    task = build(**options)
    start = float(task(task._rows[task._splits.validation]).detach().mean())
    metrics = fit(task)
    assert metrics[task.monitor] > start
    dimensions = task.example_input_array.shape[1]
    expected = -metrics["val_log_likelihood"] / dimensions / math.log(2)
    assert metrics["val_bits_per_dimension"] == pytest.approx(expected, rel=1e-5)
    assert metrics["val_loss"] == -metrics["val_log_likelihood"]
    (result,) = trainer(1).test(task, verbose=False)
    named = {
        "test_log_likelihood",
        "test_bits_per_dimension",
        "round_trip_error",
        "log_det_error",
        "samples_per_second",
    }
    assert named <= result.keys()
    assert result["round_trip_error"] < 1e-3
    assert result["log_det_error"] < 1e-3


def test_same_seed_same_numbers_and_another_seed_others():
    first, again, other = (fit(build(seed, depth=2)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


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
    with pytest.raises(RequirementError, match=reason):
        ElementwiseBijection(name)


def test_a_placement_changes_the_density_and_keeps_it_one():
    task = build(depth=1)
    before = task(task.example_input_array)
    placement = actsearch.Placement.uniform(
        "tanh_skip", actsearch.find_sites(task, task.example_input_array)
    )
    placement.apply(task, task.example_input_array)
    after = task(task.example_input_array)
    assert not torch.allclose(before, after)
    assert task.log_det_error(task._rows[:64]) < 1e-5
    assert task.round_trip_error(task._rows[:64]) < 1e-5


def test_an_expression_that_is_one_to_one_needs_no_inverse_of_its_own():
    step = ElementwiseBijection("add(x,tanh(x))").double()
    x = torch.linspace(-8, 8, 101, dtype=torch.float64).view(-1, 1).requires_grad_()
    transform = step()
    y = transform(x)
    expected = torch.log(1 + 1 / torch.cosh(x).square())
    log_det = transform.log_abs_det_jacobian(x, y)
    torch.testing.assert_close(log_det, expected.sum(1), rtol=0, atol=1e-12)
    torch.testing.assert_close(transform.inv(y), x, rtol=0, atol=1e-10)
    (through,) = torch.autograd.grad(
        log_det.sum(), x
    )  # training needs the gradient of the log-determinant
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
    x = task._rows[:100]
    torch.testing.assert_close(task(x), twin().log_prob(x), rtol=0, atol=1e-6)
    assert sum(p.numel() for p in task.parameters()) == sum(p.numel() for p in twin.parameters())


def test_test_rows_change_nothing_of_a_fit():
    plain, altered = build(depth=1), build(depth=1)
    altered._rows[altered._splits.test] = torch.nan
    assert fit(plain) == fit(altered)


def test_a_diverged_flow_gives_nan_and_no_exception():
    task = build(depth=1)
    with torch.no_grad():
        task.flow.mix_1.shift.fill_(torch.nan)
    assert task(task.example_input_array).isnan().all()


def test_pictures_are_written(tmp_path):
    task = build(depth=1)
    task.pictures(tmp_path)
    table = build(depth=1, data="wine")
    (tmp_path / "table").mkdir()
    table.pictures(tmp_path / "table")
    for name in ("samples.png", "density.png", "table/samples.png"):
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert not (tmp_path / "table/density.png").exists()


def test_shapes_are_what_they_are_called():
    assert torch.equal(densities.load("rings", 200, 1), densities.load("rings", 200, 1))
    assert not torch.equal(densities.load("rings", 200, 1), densities.load("rings", 200, 2))
    radius = densities.load("rings", 3000, 0).norm(dim=1)
    assert (radius - radius.round()).abs().mean() < 0.1
    assert radius.round().unique().tolist() == [1, 2, 3]
    board = densities.load("checkerboard", 3000, 0).add(2).floor().long()
    assert set(map(tuple, board.tolist())) == {
        (i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0
    }
    moons = densities.load("two_moons", 3000, 0)
    upper, lower = moons.norm(dim=1), (moons - torch.tensor([1.0, 0.5])).norm(dim=1)
    assert torch.minimum((upper - 1).abs(), (lower - 1).abs()).mean() < 0.1


def test_tables_leave_out_columns_without_a_density():
    widths = {
        name: densities.load(name, 0, 0).shape
        for name in ("iris", "wine", "breast_cancer", "diabetes")
    }
    assert widths == {
        "iris": (150, 4),
        "wine": (178, 13),
        "breast_cancer": (569, 30),
        "diabetes": (442, 9),
    }  # no sex


def test_rows_are_standardised_on_training_rows_only():
    task = build(data="breast_cancer", depth=1)
    train = task._rows[task._splits.train]
    torch.testing.assert_close(train.mean(0), torch.zeros(30), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.var(0, correction=0), torch.ones(30), atol=1e-4, rtol=0)
    sizes = [len(part) for part in (task._splits.train, task._splits.validation, task._splits.test)]
    assert sizes == [341, 114, 114]


def test_a_smoke_search_of_conditioner_and_bijections_together(tmp_path):
    options = {
        "samples": 200,
        "depth": 2,
        "architecture": "coupling",
        "hidden": 4,
        "bijection_sites": True,
    }
    config = {f"task.{name}": value for name, value in options.items()}
    config |= {"trainer.max_epochs": 1, "trainer.accelerator": "cpu"}
    result = run_search(
        "flow", trials=3, store=tmp_path, executor="inline", config=config, confirm=0
    )
    assert [trial.state.name for trial in result.trials] == ["COMPLETE"] * 3, result.trials
    assert len({trial.values[0] for trial in result.trials}) > 1
    names = {
        "flow.step_1.hyper.activation_1",
        "flow.step_2.hyper.activation_2",
        "flow.bijection_2.activation",
    }
    assert names <= result.best.sites.keys()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data": "two_moon"}, UnknownNameError, "unknown data 'two_moon'; nearest: two_moons"),
        (
            {"architecture": "residual"},
            InvalidValueError,
            "architecture must be one of linear, coupling, autoregressive",
        ),
        ({"mixing": "conv"}, InvalidValueError, "mixing must be one of lu, rotation"),
        ({"univariate": "cubic"}, InvalidValueError, "univariate must be one of affine, spline"),
        (
            {"samples": 3},
            InvalidValueError,
            "samples must be a whole number of at least 50, but got 3",
        ),
        ({"depth": 0}, InvalidValueError, "depth must be a whole number of at least 1"),
        ({"hidden": 0}, InvalidValueError, "hidden must be a whole number of at least 1"),
        ({"layers": 0}, InvalidValueError, "layers must be a whole number of at least 1"),
        ({"bins": 1}, InvalidValueError, "bins must be a whole number of at least 2"),
        ({"batch_size": 0}, InvalidValueError, "batch_size must be a whole number of at least 1"),
        ({"lr": -1.0}, InvalidValueError, "lr must be between 0 and inf, but got -1.0"),
        (
            {"weight_decay": -1.0},
            InvalidValueError,
            "weight_decay must be a finite number of at least 0",
        ),
        ({"split_seed": -1}, InvalidValueError, "split_seed must be a whole number of at least 0"),
        ({"validation_share": 0.0}, InvalidValueError, "validation_share must be between 0 and 1"),
    ],
    ids=str,
)
def test_bad_options_get_one_line(options, error, message):
    with pytest.raises(error, match=message) as caught:
        build(**options)
    assert isinstance(caught.value, ActsearchError)
    assert "\n" not in str(caught.value)
