"""What generator and discriminator gain by their activations: digits, 1,500 steps, two seeds."""

import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.task import laws
from actsearch_tasks.gan import GAN

pytestmark = [pytest.mark.claim, pytest.mark.long]

STEPS, SEEDS = 1500, 2


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def trained(generator, discriminator, seed):
    options = {"width": 32, "batch_size": 64, "lr": 1e-3}
    shares = {"validation_share": 0.05, "test_share": 0.3}
    task = laws.build_task(GAN, options | shares, seed)
    names = [site.name for site in find_sites(task) if not site.protected]
    for part, activation in (("generator", generator), ("discriminator", discriminator)):
        if activation != "leaky_relu":
            Placement.uniform(activation, [n for n in names if n.startswith(part)]).apply(task)
    run = laws.trainer(-1, max_steps=2 * STEPS, limit_val_batches=0)  # a step of each network
    run.fit(task)
    norm = float(run.callback_metrics["generator_gradient_norm"])
    (found,) = run.test(task, verbose=False)
    return found | {"gradient": norm}


@pytest.mark.parametrize(
    ("generator", "discriminator"),
    [("relu", "leaky_relu"), ("relu", "relu"), ("leaky_relu", "leaky_relu"), ("tanh", "tanh")],
)
def test_samples_come_near_in_every_class(generator, discriminator, claim):
    found = [trained(generator, discriminator, seed) for seed in range(SEEDS)]

    def each(name, digits=2):
        return ", ".join(f"{one[name]:.{digits}f}" for one in found)

    claim(
        f"gan, digits, {generator} / {discriminator}, {STEPS} steps: Fréchet distance (floor)",
        f"{each('test_frechet', 1)} ({each('test_frechet_floor', 1)})",
        "< 100",
    )
    least = 5 if generator == "tanh" else 9
    claim("gan, the same: classes covered", each("test_classes_covered", 1), f">= {least}")
    claim("gan, the same: gradient at the image, one sample", each("gradient", 3))
    silent = [
        each(f"test_sparsity/{part}.activation_{layer}")
        for part in ("generator", "discriminator")
        for layer in (1, 2)
    ]
    wanted = "ReLU's in the generator 0.4 to 0.6, others' 0"
    claim("gan, the same: zeros in generator; discriminator", "; ".join(silent), wanted)
    for one in found:
        assert one["test_frechet"] < 100
        assert one["test_classes_covered"] >= least
        for part, activation in (("generator", generator), ("discriminator", discriminator)):
            shares = [one[f"test_sparsity/{part}.activation_{layer}"] for layer in (1, 2)]
            if activation != "relu":
                assert shares == [0, 0]
            elif part == "generator":
                assert all(0.4 < share < 0.6 for share in shares)
