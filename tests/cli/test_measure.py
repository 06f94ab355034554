"""Measures on the command line: listed, and computed of a study's placement or of a file's."""

from __future__ import annotations

import shutil

import pytest
from torch import nn

from actsearch import run_search
from actsearch.measures import all_measures
from actsearch.placement import Placement

SEARCH = [
    *("search", "own.Own", "--space", "space.yaml", "--trials", "2", "--confirm", "0"),
    *("--store", "store", "--study", "found", "--executor", "inline"),
    *(
        "--learning-rate",
        "fixed",
        "--trainer.max_epochs",
        "2",
        "--monitor",
        "val_loss",
        "--mode",
        "max",
    ),
]
MEASURE = ("measure", "found", "--store", "store")


def value(shown, name):
    (line,) = (line for line in shown.splitlines() if f" {name} " in line)
    return float(line.split("│")[3])  # after that of the model without the placement


def test_all_are_listed_with_direction_needs_and_options(actsearch):
    shown = actsearch("measures")
    assert shown.returncode == 0
    assert [n for n in all_measures() if f"│ {n} " not in shown.stdout] == []
    assert "labels, logits" in shown.stdout
    assert "radius=0.05" in shown.stdout
    assert "a method `embed(x)`" in shown.stdout


def test_a_study_is_measured_by_its_kept_weights_or_trained_again_to_the_same(own, actsearch):
    assert actsearch(*SEARCH).returncode == 0
    kept = actsearch(*MEASURE)
    assert kept.returncode == 0, kept.stderr
    assert "training" not in kept.stderr
    assert value(kept.stdout, "parameters") == 105
    assert "certified_accuracy" not in kept.stdout
    weights = list((own / "store").rglob("weights.safetensors"))
    assert weights
    shutil.rmtree(own / "store/studies/found/trials")
    names = ["parameters", "gradient_variance", "--measure.gradient_variance.draws", "16"]
    again = actsearch(*MEASURE[:2], *names, *MEASURE[2:])
    assert again.returncode == 0, again.stderr
    assert "training the placement, 1 of 1" in again.stderr
    for name in ("parameters", "gradient_variance"):
        assert value(again.stdout, name) == value(kept.stdout, name)
    refused = actsearch(*MEASURE, "--task", "own.Own")
    assert "a study knows what it trains, but got 'found'" in refused.stderr


def test_both_are_trained_with_paired_seeds_and_what_differs_has_an_interval(placement, actsearch):
    options = ["--task", "own.Own", "--trainer.max_epochs", "1", "--seeds", "3"]
    shown = actsearch("measure", placement, "parameters", "linear_regions", "sparsity", *options)
    assert shown.returncode == 2  # the placement's elu is not piecewise linear
    shown = actsearch("measure", placement, "parameters", "sparsity", *options)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr.count("training the placement") == 3
    (line,) = (line for line in shown.stdout.splitlines() if " sparsity " in line)
    before, after, difference, interval = (cell.strip() for cell in line.split("│")[2:6])
    assert float(difference) == pytest.approx(float(after) - float(before), rel=1e-3)
    low, high = map(float, interval.strip("[]").split(","))
    assert low <= float(difference) <= high < 0  # elu is nowhere 0, relu is
    shown = actsearch("measure", placement, *options[:4], "--seeds", "0")
    assert shown.returncode == 2


SMOOTH = """

class Smooth(Own):
    def __init__(self):
        super().__init__()
        self.net[1], self.net[3] = nn.Tanh(), nn.Tanh()
"""


def test_what_the_model_without_the_placement_cannot_have_is_left_open(own, actsearch):
    Placement.uniform("abs", ["net.1", "net.3"]).save(own / "best.json")
    with (own / "own.py").open("a") as file:
        file.write(SMOOTH)
    options = ["--task", "own.Smooth", "--trainer.max_epochs", "1"]
    shown = actsearch("measure", "best.json", "linear_regions", *options)
    assert shown.returncode == 0, shown.stderr
    (line,) = (line for line in shown.stdout.splitlines() if " linear_regions " in line)
    assert line.split("│")[2].strip() == "–"
    assert float(line.split("│")[3]) > 1


def build():
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))


def train(model, report):
    report(0, {"val_loss": float(model[0].weight.detach().abs().sum())})


def test_what_a_function_trains_is_measured_by_the_search_alone(own, actsearch):
    run_search(
        train,
        "space.yaml",
        model=build,
        trials=2,
        confirm=0,
        executor="inline",
        store="store",
        study="loop",
        learning_rate="fixed",
    )
    refused = actsearch("measure", "loop", "--store", "store")
    assert refused.returncode == 2
    assert "a study must train a LightningModule to be measured afterwards" in refused.stderr
    assert "Give the measures to the search as objectives." in refused.stderr


@pytest.fixture
def placement(own):
    Placement.uniform("elu", ["net.1", "net.3"]).save(own / "best.json")
    return "best.json"


def test_a_file_is_trained_as_a_search_would(placement, actsearch):
    options = ["--task", "own.Own", "--task.width", "4", "--trainer.max_epochs", "1"]
    shown = actsearch("measure", placement, "parameters", *options, "--part", "test")
    assert shown.returncode == 0, shown.stderr
    assert value(shown.stdout, "parameters") == 37


def test_what_a_measure_draws_is_written(own, actsearch):
    Placement.uniform("abs", ["net.1", "net.3"]).save(own / "best.json")
    options = ["--task", "own.Own", "--trainer.max_epochs", "1", "--pictures", "drawn/here"]
    names = ["linear_regions", "parameters", "gradient_flow"]
    shown = actsearch("measure", "best.json", *names, *options)
    assert shown.returncode == 0, shown.stderr
    assert value(shown.stdout, "linear_regions") > 1
    drawn = sorted(p.name for p in (own / "drawn/here").iterdir())
    assert drawn == ["gradient_flow.png", "linear_regions.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["best.json"], "a placement file must come with --task, but got 'best.json' alone"),
        (["--task", "own.Own"], "a study or a file must come first, but got '--task'"),
        (
            ["best.json", "latencies", "--task", "own.Own"],
            "unknown measure 'latencies'; nearest: latency",
        ),
        (
            ["best.json", "certified_accuracy", "--task", "own.Own"],
            "certified_accuracy must have labels, but own.Own has none: its batches have no",
        ),
        (
            ["best.json", "knn_accuracy", "--task", "own.Own", "--measure.knn_accuracy.q", "3"],
            "--measure.knn_accuracy.k",
        ),
        (
            ["best.json", "linear_regions", "--task", "own.Own"],
            "must have continuous piecewise linear activations, but got elu at net.1. Search",
        ),
        (["best.json", "--task", "own.Own", "--task.widht", "4"], "nearest: --task.width"),
        (["nothing"], "unknown study 'nothing'"),
        (
            ["best.json", "--task", "own.Own", "--pictures", "best.json"],
            "pictures must be a folder, but best.json is a file",
        ),
    ],
)
def test_refused_before_any_training(arguments, message, placement, actsearch):
    result = actsearch("measure", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
