"""Constants of a response, from clean data and from noisy ones, and whether intervals tell."""

import lightning.pytorch as L
import pytest

from actsearch import Placement, find_sites
from actsearch.search.training.target import LEAN_TRAINER
from actsearch.task import laws
from actsearch_tasks.gene import GeneRegulation

pytestmark = [pytest.mark.claim, pytest.mark.long]


def fitted(name=None, **options):
    task = laws.build_task(GeneRegulation, options)
    if name:
        Placement.uniform(name, find_sites(task)).apply(task)
    trainer = L.Trainer(**LEAN_TRAINER | {"accelerator": "cpu", "max_epochs": 10})
    trainer.fit(task)
    return task, {k: float(v) for k, v in trainer.callback_metrics.items()}


def test_clean_data(claim):
    for name, least, most in (
        (None, 0, 2e-3),
        ("sigmoid", 0.01, 0.03),
        ("relu", 0.03, 0.08),
        ("softplus", 0.03, 0.08),
        ("clipped_relu", 5e-3, 0.03),
    ):
        _, found = fitted(name)
        claim(
            f"gene, clean, {name or 'hill'}: error on later times",
            f"{found['val_error']:.2g}",
            f"{least:g} to {most:g}",
        )
        assert least <= found["val_error"] <= most
        if name is None:
            errors = found["val_K_error"], found["val_n_error"]
            text = ", ".join(f"{100 * e:.2g} %" for e in errors)
            claim("gene, clean, hill: K and n off by", text, "< 5 %")
            assert max(errors) < 0.05


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
def test_noise_hides_n_and_its_interval_says_so(claim, noise):
    held, offs, half_offs = 0, [], []
    for seed in range(10):
        task, found = fitted(noise=noise, noise_seed=seed)
        ends = {name: float(value) for name, value in task.intervals().items()}
        held += ends["n_low"] < 2.6 < ends["n_high"]
        offs.append(found["val_n_error"])
        half_offs.append(found["val_K_error"])
    middle = sorted(offs)[5]
    text = f"{100 * middle:.3g}, {100 * max(offs):.3g} %; {100 * max(half_offs):.3g} %; {held}"
    what = "n off in the median, at worst; K at worst; intervals of n that hold 2.6"
    claim(f"gene, noise {noise:g}, 10 seeds: {what}", text, "at worst > 10 %; 8 of 10")
    assert max(offs) > 0.1
    assert held >= 8


def test_the_repressilator_under_noise(claim):
    task, found = fitted(data="repressilator", noise=0.02)
    ends = {name: float(value) for name, value in task.intervals().items()}
    for gene in ("lacI", "tetR", "cI"):
        for constant, truth in (("K", 40.0), ("n", 2.0)):
            value, low, high = (
                found[f"val_{constant}/{gene}"],
                ends[f"{constant}_low/{gene}"],
                ends[f"{constant}_high/{gene}"],
            )
            claim(
                f"gene, repressilator, noise 0.02, {gene}: {constant}",
                f"{value:.3g} ({low:.3g} to {high:.3g})",
                f"{truth:g} within 5 %",
            )
            assert value == pytest.approx(truth, rel=0.05)
