"""Claims of the novelty row: real digits against letters, photographs and classes held out."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from actsearch import Placement
from actsearch.measures import Fitted, build
from actsearch.task import laws
from actsearch_tasks.classification import Classification
from actsearch_tasks.data.novel import NOVEL

pytestmark = pytest.mark.claim
HIDDEN = [f"network.layer_{i}.activation" for i in (1, 2)]
PLAIN = {"hidden": 128, "depth": 2, "weight_decay": 0.0, "schedule": "constant"}
CLASSES = "classes:7,8,9"


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Files of the digits and of what is novel as rows: each pixel is standardised by itself."""
    folder = tmp_path_factory.mktemp("rows")
    digits = load_digits()
    np.savez(folder / "digits.npz", x=digits.data / 16, y=digits.target)
    for name, load in NOVEL.items():
        np.savez(folder / f"{name}.npz", x=load(1, 8, 8).flatten(1).numpy())
    return folder


def areas(options, activation, seeds):
    """Return the mean area of each score over seeds, of all sites, the first and the last."""
    found = []
    for seed in range(seeds):
        task = laws.build_task(Classification, PLAIN | options, seed)
        if activation != "relu":
            Placement.uniform(activation, HIDDEN).apply(task)
        laws.fit(task, epochs=30)
        fitted = Fitted(task, part="test")
        one = {}
        for sites in ("all", "first", "last"):
            values = build("novelty", {"sites": sites}).values(fitted)
            one |= {name.replace("novelty/auroc", sites): v for name, v in values.items()}
        found.append(one)
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def of_rows(folder, novel):
    return {"data": str(folder / "digits.npz"), "novel": str(folder / f"{novel}.npz")}


def test_novel_images_saturate_the_first_tanh_and_known_ones_the_last(rows):
    area = areas(of_rows(rows, "letters"), "tanh", 1)
    assert area["first/saturation"] > 0.75, area
    assert area["last/saturation"] < 0.3, area


@pytest.mark.long
def test_of_tanh_and_standardised_pixels_the_first_site_tells_and_the_last_is_inverted(rows, claim):
    area = {novel: areas(of_rows(rows, novel), "tanh", 5) for novel in NOVEL}
    first, last = (
        {novel: found[f"{site}/saturation"] for novel, found in area.items()}
        for site in ("first", "last")
    )
    claim(
        "novelty, tanh, each pixel standardised, 5 seeds: saturation of the first site, AUROC of"
        " photographs, letters",
        f"{first['photographs']:.3f}, {first['letters']:.3f}",
        "> 0.98, > 0.75",
    )
    claim(
        "novelty, the same: of the last site, letters; photographs (not asserted)",
        f"{last['letters']:.3f}; {last['photographs']:.3f}",
        "< 0.3",
    )
    assert first["photographs"] > 0.98
    assert first["letters"] > 0.75
    assert last["letters"] < 0.3


SCORES = (
    *("all/saturation", "first/saturation", "last/saturation"),
    *("all/typical", "all/max_softmax", "all/energy", "all/neighbours"),
)


@pytest.mark.long
@pytest.mark.parametrize("novel", [*NOVEL, CLASSES])
@pytest.mark.parametrize("activation", ["tanh", "hardtanh", "relu", "gelu"])
@pytest.mark.parametrize("scale", ["pixel", "common"])
def test_neighbours_tell_what_is_novel_and_saturation_inverts_on_classes_held_out(
    scale, activation, novel, rows, claim
):
    options = {"novel": novel}
    if scale == "pixel":
        digits = {"data": str(rows / "digits.npz"), "novel": CLASSES}
        options = digits if novel == CLASSES else of_rows(rows, novel)
    area = areas(options, activation, 3)
    claim(
        f"novelty, {scale} scale, {activation}, {novel}",
        ", ".join(f"{area[name]:.3f}" for name in SCORES),
        "typical > 0.6, neighbours > 0.9" + ", saturation < 0.3" * (novel == CLASSES),
    )
    assert area["all/typical"] > 0.6
    assert area["all/neighbours"] > 0.9
    assert novel != CLASSES or area["all/saturation"] < 0.3
