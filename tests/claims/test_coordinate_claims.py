"""The claim of the first command: what it finds draws a photograph better than ReLU.

ReLU has its best rate, and both have new divisions of the pixels.
"""

import lightning.pytorch as L
import pytest

from actsearch import Placement, find_sites
from actsearch.search.confirm.racing import compare
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.coordinate import Coordinate

pytestmark = pytest.mark.claim

SEEDS = 5


def psnr(name, lr, seed, **options):
    L.seed_everything(seed, verbose=False)
    task = Coordinate(lr=lr, split_seed=1000 + seed, **options)
    if name != "relu":
        Placement.uniform(name, find_sites(task)).apply(task)
    trainer = L.Trainer(**{**LEAN_TRAINER, "accelerator": "cpu", "max_epochs": 30})
    trainer.fit(task)
    return trainer.test(task, verbose=False)[0]["test_psnr"]


@pytest.mark.long
@pytest.mark.parametrize("image", ["china", "flower"])
def test_a_periodic_function_draws_what_relu_blurs(image, claim):
    rates = (0.01, 0.02)  # ReLU is best between these
    relu = [max(psnr("relu", lr, seed, image=image) for lr in rates) for seed in range(SEEDS)]
    found = [psnr("cos(add(x,x))", 0.01, seed, image=image) for seed in range(SEEDS)]
    c = compare([b - a for a, b in zip(relu, found, strict=True)])
    claim(
        f"coordinate, {image}: cos(2x) over ReLU, dB, new splits",
        f"{c.gain:.2f} [{c.low:.2f}, {c.high:.2f}]",
        "> 0",
    )
    assert c.verdict == "better"
