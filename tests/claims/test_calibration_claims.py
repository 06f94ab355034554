"""Claims of the calibration row: real digits, 64-128-128-10, no weight decay, test split of 360."""

import pytest
import torch
from sklearn.datasets import load_digits

from actsearch import Placement
from actsearch.measures import Fitted, build
from actsearch.measures.functional.calibration_error import calibration_error
from actsearch.task import laws
from actsearch.task.tensors import Splits, standardise
from actsearch_tasks.classification import Classification

pytestmark = pytest.mark.claim
HIDDEN = [f"network.layer_{i}.activation" for i in (1, 2)]
PLAIN = {"hidden": 128, "depth": 2, "weight_decay": 0.0, "schedule": "constant"}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def trained(seed, noise=0.0, redrawn=0.0, rows=None, placement=None, epochs=30):
    """A network, each pixel standardised by itself, with noise or wrong labels in all splits."""
    task = laws.build_task(Classification, PLAIN | {"logit_site": True}, seed)
    generator = torch.Generator().manual_seed(seed)
    train, y = task.splits.train, task.tensors[1]
    pixels = torch.from_numpy(load_digits().data).float()
    x = standardise(pixels, train).view(-1, 1, 8, 8)
    y = torch.where(
        torch.rand(len(y), generator=generator) < redrawn,
        torch.randint(10, y.shape, generator=generator),
        y,
    )
    task.tensors = x + noise * torch.randn(x.shape, generator=generator), y
    some = train[torch.randperm(len(train), generator=generator)[:rows]]
    task.splits = Splits(some, task.splits.val, task.splits.test)
    if placement:
        placement.apply(task)
    laws.fit(task, epochs)
    return task


def calibration(task):
    found = build("calibration").values(Fitted(task, part="test"))
    return {name.partition("/")[2]: value for name, value in found.items()}


def clipped_class_error(task, clip):
    """The error where the clip is the last layer, and ties go to the first class."""
    x, y = task.select("test")
    with torch.no_grad():
        confidence, taken = task(x).double().clamp(-clip, clip).softmax(1).max(1)
    return calibration_error(confidence, taken == y)


def figures(found, *names):
    return ", ".join(f"{sum(one[name] for one in found) / len(found):.3f}" for name in names)


def mean(found, name):
    return sum(one[name] for one in found) / len(found)


def noisy(seeds):
    found = []
    for seed in range(seeds):
        task = trained(seed, noise=1.5)
        one = calibration(task)
        found.append(one | {"clipped_class": clipped_class_error(task, one["clip"])})
    return found


ERRORS = ("error", "error_after_temperature", "error_after_clip")
LOSSES = ("nll", "nll_after_temperature", "nll_after_clip")


def test_a_temperature_halves_the_error_of_a_network_that_overfits_noisy_pixels():
    found = noisy(2)
    assert mean(found, "error") > 0.15, found
    assert mean(found, "error_after_temperature") < mean(found, "error") / 2, found


@pytest.mark.long
def test_on_noisy_pixels_both_repair_and_the_clip_at_the_price_of_ties(claim):
    found = noisy(8)
    claim("calibration, noisy digits, 8 seeds: error", figures(found, "error"), "> 0.15")
    claim(
        "calibration, noisy digits: error after temperature, seeds that it helps",
        f"{figures(found, ERRORS[1])}, {sum(one[ERRORS[1]] < one['error'] for one in found)}",
        "below half, 8",
    )
    claim(
        "calibration, noisy digits: nll, after temperature, after clip",
        figures(found, *LOSSES),
        "the first above both in each seed",
    )
    claim(
        "calibration, noisy digits: error after a clip that keeps the class, seeds that it helps",
        f"{figures(found, ERRORS[2])}, {sum(one[ERRORS[2]] < one['error'] for one in found)}",
    )
    claim(
        "calibration, noisy digits: a clip as last layer: error; accuracy before, after",
        f"{figures(found, 'clipped_class')}; {figures(found, 'accuracy', 'accuracy_after_clip')}",
        "below half; lost",
    )
    assert mean(found, "error") > 0.15
    assert mean(found, "error_after_temperature") < mean(found, "error") / 2
    for one in found:
        assert one["error_after_temperature"] < one["error"]
        assert max(one["nll_after_temperature"], one["nll_after_clip"]) < one["nll"]
        assert one["accuracy_after_clip"] < one["accuracy"]
    assert mean(found, "clipped_class") < mean(found, "error") / 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("noisy digits, tanh", {"noise": 1.5, "placement": Placement.uniform("tanh", HIDDEN)}),
        ("60 training digits", {"rows": 60, "epochs": 200}),
        ("200 training digits", {"rows": 200, "epochs": 100}),
        ("all digits, clean", {}),
        ("20 % of labels redrawn", {"redrawn": 0.2}),
    ],
)
def test_elsewhere_a_temperature_lowers_the_loss_and_the_errors_are_reported(what, options, claim):
    found = [calibration(trained(seed, **options)) for seed in range(8)]
    helped = [sum(one[name] < one["error"] for one in found) for name in ERRORS[1:]]
    claim(
        f"calibration, {what}: error, after temperature, after clip (seeds helped)",
        f"{figures(found, *ERRORS)} ({helped[0]}, {helped[1]} of 8)",
    )
    claim(f"calibration, {what}: nll likewise", figures(found, *LOSSES))
    assert mean(found, "nll_after_temperature") < mean(found, "nll")


@pytest.mark.long
def test_a_tight_clip_trained_in_is_not_sure_enough(claim):
    found = {}
    for bound in (2.0, 4.0, 8.0):
        entry = {"activation": "clip", "parameters": {"bound": bound}}
        clip = Placement.uniform(entry, ["network.head.logits"])
        runs = [calibration(trained(seed, rows=200, placement=clip)) for seed in range(4)]
        found[bound] = mean(runs, "error")
    measured = ", ".join(f"{error:.3f}" for error in found.values())
    claim("calibration, 200 digits, clip trained in: error at c = 2, 4, 8", measured, "first > 0.1")
    assert found[2.0] > 0.1 > max(found[4.0], found[8.0])
