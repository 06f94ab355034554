"""Bad input: one clear line, exit code 2, nothing written."""

from __future__ import annotations

import textwrap

import pytest

SEARCH = ["search", "own.Own", "--space", "space.yaml", "--store", "store"]
CASES = {
    "command": (["serch"], "unknown command 'serch'; nearest: search"),
    "task": (["search", "clasification"], "unknown task 'clasification'; nearest: classification"),
    "class": (
        ["search", "own.Nothing"],
        "'own.Nothing' must name a class, but own has no 'Nothing'",
    ),
    "module": (["search", "nowhere.Own"], "there is no module 'nowhere'"),
    "no module": (["search", "own.torch"], "must be a LightningModule"),
    "space": (
        [*SEARCH[:3], "rectifierz", "--store", "store"],
        "unknown search space 'rectifierz'; nearest: rectifiers",
    ),
    "file": (
        [*SEARCH[:3], "none.yaml", "--store", "store"],
        "search space file none.yaml does not exist",
    ),
    "option": ([*SEARCH, "--task.widht", "3"], "nearest: --task.width"),
    "value": ([*SEARCH, "--task.width", "wide"], 'option "task.width"'),
    "sampler": ([*SEARCH, "--sampler", "tpee"], "unknown sampler 'tpee'; nearest: tpe"),
    "pruner": ([*SEARCH, "--pruner", "medain"], "unknown pruner 'medain'; nearest: median"),
    "metric": (
        [*SEARCH, "--monitor", "val_acc"],
        "metric 'val_acc' must be logged by Own, but it logs val_loss",
    ),
    "study": (["best", "nothing", "--store", "store"], "unknown study 'nothing'"),
    "study name": ([*SEARCH, "--study", "a/b"], "a study's name must be"),
    "trials": ([*SEARCH, "--trials", "0"], "trials must be at least 1, but got 0"),
    "data": ([*SEARCH, "--data", "x"], "'x' must be a dotted path, such as package.module.Class"),
    "requirement": (
        ["search", "own.Squashed", "--space", "space.yaml", "--store", "store"],
        "which requires 'bounded and bijective': elu",
    ),
    "warm start": ([*SEARCH, "--warm-start", "nothing"], "unknown study 'nothing'"),
}
SPACES = {
    "activation": (
        "activations:\n  relu:\n  tahn:\n",
        "bad.yaml:3: activations.tahn: unknown activation 'tahn'; nearest: tanh",
    ),
    "parameter": (
        "activations:\n  leaky_relu: {slope: 1}\n",
        "bad.yaml:2: activations.leaky_relu: unknown parameter of leaky_relu 'slope'",
    ),
    "range": (
        "activations:\n  leaky_relu:\n    negative_slope: {low: 1, high: 0}\n",
        "bad.yaml:2: activations.leaky_relu: negative_slope",
    ),
    "field": (
        "activations:\n  relu:\ngranulariti: layer\n",
        "bad.yaml:3: granulariti: Extra inputs are not permitted",
    ),
    "twice": ("activations:\n  relu:\n  relu:\n", "bad.yaml:3: 'relu' is given twice"),
    "alias": ("activations: &a\n  relu:\n", "bad.yaml:1: anchors and aliases are not read here"),
    "not yaml": ("activations: [\n", "bad.yaml:2: not valid YAML"),
    "pattern": (
        "activations:\n  relu:\nsites:\n  'head.*': {activations: [relu]}\n",
        "site pattern 'head.*' must match a site, but matches none of net.1, net.3",
    ),
}


def refused(result, message):
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("actsearch: ")
    assert message in lines[0]


@pytest.fixture
def squashed(own):
    with (own / "own.py").open("a") as file:
        file.write(
            textwrap.dedent("""
            from actsearch import Site

            class Squashed(Own):
                def __init__(self, width: int = 8):
                    super().__init__(width)
                    self.net.append(Site("tanh", requires="bounded and bijective"))
        """)
        )
    (own / "space.yaml").write_text("activations:\n  relu:\n  elu:\n")
    return own


@pytest.mark.parametrize("case", CASES)
def test_refused(case, squashed, actsearch):
    arguments, message = CASES[case]
    refused(actsearch(*arguments), message)
    assert not (squashed / "store").exists()
    assert not (squashed / "mlruns").exists()


@pytest.mark.parametrize("case", SPACES)
def test_space_refused(case, own, actsearch):
    text, message = SPACES[case]
    (own / "bad.yaml").write_text(text)
    refused(actsearch("search", "own.Own", "--space", "bad.yaml", "--store", "store"), message)
    assert not (own / "store").exists()
