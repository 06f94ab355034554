"""What Beer's and Lambert's law is worth in tomography: 64 pixels, 30 angles, seeds 0 and 1."""

import lightning.pytorch as L
import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.imaging import Tomography
from actsearch_tasks.imaging.rays import back_projection
from actsearch_tasks.imaging.task import peak_ratio

pytestmark = [pytest.mark.claim, pytest.mark.long]

LINE = "sub(1,x)"
FULL = {"size": 64, "hidden": 64}
FORMS = {
    "softplus; Beer-Lambert; Poisson": ({}, {}),
    "softplus; 2 sigmoid(-t); Poisson": ({"detector": "mul(2,sigmoid(negative(x)))"}, {}),
    "softplus; logarithm of the counts": ({}, {"loss": "logarithm"}),
    "identity; logarithm of the counts": ({"density": "identity"}, {"loss": "logarithm"}),
    "identity; 1 - t; squared": (
        {"density": "identity", "detector": LINE},
        {"loss": "squared"},
    ),
    "softplus; relu(1 - t); squared": ({"detector": f"relu({LINE})"}, {"loss": "squared"}),
    "relu; Beer-Lambert; Poisson": ({"density": "relu"}, {}),
    "exp; Beer-Lambert; Poisson": ({"density": "exp(x)"}, {}),
    "identity; Beer-Lambert; Poisson": ({"density": "identity"}, {}),
}


def reconstructed(form, blank):
    """PSNR of the whole image and the smallest density, of two seeds."""
    chosen, options = FORMS[form]
    found = []
    for seed in (0, 1):
        L.seed_everything(seed, verbose=False)
        task = Tomography(**FULL | options, blank=blank, split_seed=seed)
        sites = find_sites(task, task.example_input_array)
        for part, name in chosen.items():
            own = [s for s in sites if s.name.rpartition(".")[2] == part]
            Placement.uniform(name, own).apply(task, task.example_input_array, force=True)
        settings = {"accelerator": "cpu", "max_epochs": 16, "limit_val_batches": 0}
        trainer = L.Trainer(**LEAN_TRAINER | settings)
        trainer.fit(task)
        with torch.no_grad():
            image = task.image()
        found.append((float(peak_ratio(image, 2 / 64 * task.truth)), float(image.min())))
    return found


def shown(found):
    return ", ".join(f"{ratio:.1f}" for ratio, _ in found)


@pytest.mark.parametrize("blank", [1000, 100])
def test_beer_lambert_beats_a_plain_network_and_a_density_of_any_sign(blank, claim):
    runs = {form: reconstructed(form, float(blank)) for form in FORMS}
    best = runs["softplus; Beer-Lambert; Poisson"]
    for form, found in runs.items():
        wanted = {"identity; 1 - t; squared": 5, "identity; Beer-Lambert; Poisson": 1}.get(form)
        text = "" if wanted is None else f"more than {wanted} dB below the first"
        claim(f"imaging, {form}, {blank} photons: PSNR, dB; least", _line(found), text)
        if wanted is not None:
            for (ratio, _), (first, _) in zip(found, best, strict=True):
                assert ratio < first - wanted, form
    assert min(least for _, least in best) >= 0


def _line(found):
    return f"{shown(found)}; {min(least for _, least in found):.3f}"


@pytest.mark.parametrize("blank", [1000, 100])
def test_without_a_network(blank, claim):
    """Filtered back-projection, and pixels by the likelihood, which fit noise at few photons."""
    filtered, pixels = [], []
    for seed in (0, 1):
        task = Tomography(**FULL, blank=float(blank), split_seed=seed)
        trained = task.scan.counts[::2], task.scan.angles[::2]
        paths = torch.tensor(task.scan.paths[::2])
        image = torch.tensor(back_projection(paths.numpy(), trained[1], 64))
        filtered.append((float(peak_ratio(image, task.truth)), float(image.min())))
        pixels.append(_by_pixels(task))
    claim(f"imaging, filtered back-projection, {blank} photons: PSNR, dB; least", _line(filtered))
    claim(f"imaging, pixels by likelihood, {blank} photons: PSNR, dB; least", _line(pixels))


def _by_pixels(task):
    image = torch.full((64 * 64,), 0.5, requires_grad=True)
    rays, counted = task.select("train")
    optimizer = torch.optim.Adam([image], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        path = task.integrals(image)[rays]
        (task.air[rays] * torch.exp(-path) + counted * path).mean().backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(min=0)
    found = image.detach().view(64, 64)
    return float(peak_ratio(found, task.truth)), float(found.min())
