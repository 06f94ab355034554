"""Claims of the self-supervised row: what is learned, its collapse, the order of activations."""

import logging
import math
import statistics
from functools import cache

import lightning as L
import pytest
import torch

import actsearch
from actsearch_tasks.ssl import SelfSupervised

pytestmark = pytest.mark.claim

ACTIVATIONS = ("identity", "prelu", "relu", "swish", "gelu", "mish")


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)


@cache
def train(epochs, seed=0, activation=None, **options):
    L.seed_everything(seed, verbose=False)
    task = SelfSupervised(**options)
    if activation:
        actsearch.Placement.uniform(activation, actsearch.find_sites(task)).apply(task)
    L.seed_everything(seed, verbose=False)
    run = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=1,
        check_val_every_n_epoch=epochs,
        num_sanity_val_steps=0,
    )
    run.fit(task)
    validation = {name: float(value) for name, value in run.callback_metrics.items()}
    (test,) = run.test(task, verbose=False)
    return validation | test


def check_collapse(claim, name, on, off):
    even = 1 / math.sqrt(64)
    shares = [figures["val_embedding_deviation"] / even for figures in (on, off)]
    ranks = [figures["val_effective_rank"] for figures in (on, off)]
    claim(f"ssl {name}, digits: test k-NN accuracy", f"{on['test_knn_accuracy']:.4f}", "≥ 0.93")
    claim(
        f"ssl {name}: deviation over 1/√d, on / off",
        f"{shares[0]:.3f} / {shares[1]:.3f}",
        "≥ 0.5 / < 0.1",
    )
    claim(
        f"ssl {name}: effective rank, on / off", f"{ranks[0]:.2f} / {ranks[1]:.2f}", "off < on / 4"
    )
    assert on["test_knn_accuracy"] >= 0.93, on
    assert on["val_knn_accuracy"] >= 0.93, on
    assert on["val_embedding_deviation"] >= 0.5 * even, on
    assert off["val_embedding_deviation"] < 0.1 * even, off
    assert off["val_effective_rank"] < on["val_effective_rank"] / 4, (on, off)


@pytest.mark.long
def test_simsiam_learns_and_collapses_without_its_stop_gradient(claim):
    check_collapse(
        claim,
        "simsiam",
        train(40, objective="simsiam"),
        train(40, objective="simsiam", anti_collapse=False),
    )


@pytest.mark.long
def test_byol_learns_and_collapses_without_its_momentum_encoder(claim):
    check_collapse(
        claim, "byol", train(40, objective="byol"), train(40, objective="byol", anti_collapse=False)
    )


@pytest.mark.long
@pytest.mark.timeout(900)
def test_vicreg_learns_and_collapses_without_its_variance_term(claim):
    # Its covariance term spreads what is left over all directions, so the rank falls only as the
    # rest dies out: with the defaults the deviation reaches 17 % and the rank 17 after 40 epochs.
    # Both sides train alike.
    options = {"objective": "vicreg", "lr": 1e-2}
    check_collapse(
        claim, "vicreg", train(200, **options), train(200, **options, anti_collapse=False)
    )


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:nothing of SelfSupervised was changed")
def test_smooth_non_monotone_activations_end_more_isotropic_than_identity(claim):
    table = {}
    for name in ACTIVATIONS:
        rows = [train(40, seed, name) for seed in range(5)]
        table[name] = {key: [row[key] for row in rows] for key in rows[0]}
    for name in sorted(table, key=lambda name: -statistics.mean(table[name]["val_isotropy"])):
        measured = {
            key: table[name][key]
            for key in ("val_isotropy", "val_effective_rank", "val_knn_accuracy")
        }
        cells = [
            f"{key[4:]} {statistics.mean(v):.4f} ± {statistics.stdev(v):.4f}"
            for key, v in measured.items()
        ]
        claim(f"ssl simsiam, {name} everywhere, 5 seeds", ", ".join(cells))
    smooth = statistics.mean(
        value for name in ("swish", "gelu", "mish") for value in table[name]["val_isotropy"]
    )
    identity, prelu = (
        statistics.mean(table[name]["val_isotropy"]) for name in ("identity", "prelu")
    )
    claim(
        "ssl: isotropy of swish, gelu, mish / identity",
        f"{smooth:.4f} / {identity:.4f}",
        "first above second",
    )
    claim(
        "ssl: isotropy of swish, gelu, mish / prelu (not asserted)", f"{smooth:.4f} / {prelu:.4f}"
    )
    assert smooth > identity
    # PReLU is no less isotropic than they are (0.031 and 0.031): that half of the claim did not
    # reproduce.
    ranks = {
        name: statistics.mean(figures["val_effective_rank"]) for name, figures in table.items()
    }
    assert min(ranks, key=lambda name: ranks[name]) == "identity"
    assert all(ranks["identity"] < ranks[name] / 2 for name in ACTIVATIONS if name != "identity"), (
        ranks
    )
