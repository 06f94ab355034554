"""Every measure that comes along, under the laws of a measure."""

from __future__ import annotations

from math import e, exp, log
from types import MethodType

import torch
from torch import nn

from actsearch.measures import Fitted, all_measures
from actsearch.measures.law_modules import OfferingAll, cross_entropy
from actsearch.measures.laws import MeasureLaws

# Fast, and with a bound that every gradient exceeds.
OPTIONS = {"privacy": {"epsilons": [1.0], "clip": 1e-9, "seeds": 1, "epochs": 3}}


def sigmoid(margin):
    return 1 / (1 + exp(-margin))


# What each comes to on `SolvedByHand`: with ReLU the embeddings, which are the logits too, are
# (1, 0), (0, 1), (2, 0), (0, 2), and the last is wrong.
KNOWN = {
    "alignment": {"alignment": 2.0},
    "binaries": {"binaries/possible": 2.0, "binaries/crossed": 2.0},
    "calibration": {
        "calibration/accuracy": 0.75,
        "calibration/nll": -(2 * log(sigmoid(1)) + log(sigmoid(2)) + log(sigmoid(-2))) / 4,
        "calibration/error": (1 - sigmoid(1) + sigmoid(2) - 0.5) / 2,
    },
    "certified_accuracy": {"certified_accuracy": 0.75},
    "cost": {"cost": 20.0},  # 16 of the layers, 2 of each rectifier
    "curvature": {"curvature": 4 / 27**0.5},  # of tanh
    "dead_units": {"dead_units": 0.0},
    "derivative_error": {"derivative_error/value": 0.5, "derivative_error/first": 0.5},
    "effective_rank": {"effective_rank": 2.0},  # both singular values are √5
    "embedding_deviation": {"embedding_deviation": 0.5},
    "expected_sparsity": {"expected_sparsity": 0.5},
    "footprint": {"footprint/flash_bytes": 48.0, "footprint/ram_bytes": 8.0},
    "gradient_cosine": {"gradient_cosine/first-both": 0.5**0.5},  # the other half is orthogonal
    "gradient_flow": {
        "gradient_flow/gradient_norm/body.1": 2**0.5,  # of the first batch
        "gradient_flow/sparsity/body.1": 0.5,
        "gradient_flow/dead/body.1": 0.0,
    },
    "gradient_ratio": {"gradient_ratio": 1.0},  # one site
    "gradient_variance": {"gradient_variance": 3.0},  # 6 entries change by 1
    "isotropy": {"isotropy": 20 / 101},  # eigenvalues 5/3 and 1/6
    "knn_accuracy": {"knn_accuracy": 0.75},
    "latency": {},
    "linear_probe": {"linear_probe": 0.75},
    "linear_regions": {"linear_regions": 3.0},  # one corner is the origin
    "novelty": {  # all margins of the second data are 1
        "novelty/auroc/saturation": 0.5,
        "novelty/auroc/max_softmax": 0.75,
        "novelty/auroc/energy": 0.75,
    },
    "parameters": {"parameters": 12.0},
    "peak_memory": {"peak_memory": 2 * 2 * 2 * 4 / 2**20},  # of a batch, what enters each layer
    "privacy": {"privacy/clipped_share/epsilon_1": 1.0},
    "regions_on_segment": {"regions_on_segment": 2.0},  # both units bend at the origin
    "relative_gradient_noise": {"relative_gradient_noise": 2.0},
    "robustness": {
        "robustness/lipschitz": 1.0,
        "robustness/certified_radius": 0.5**0.5,
        "robustness/certified_accuracy/0.5": 0.75,
    },
    "saliency": {"saliency/accuracy/sparsity_0": 0.75},
    "smoothness": {"smoothness": 0.0},
    "smoothness_on_segments": {"smoothness_on_segments": 1.0},
    "sparsity": {"sparsity": 0.5},
    "spectrum": {
        "spectrum/share_1": 10 / 11,
        "spectrum/share_2": 1 / 11,
        "spectrum/entropy_rank": 11 / 10 ** (10 / 11),
    },
    "uniformity": {"uniformity": log((1 + 2 * e**-4) / 3)},
    "verification": {
        "verification/verified": 0.75,
        "verification/refuted": 0.25,
        "verification/binaries": 0.0,
    },
}


def embedding(change):
    """What is embedded, by another base or scale."""

    def apply(module):
        embed = module.embed
        module.embed = MethodType(lambda _, x: change(embed(x)), module)

    return apply


def layer(path, scale):
    """A dense layer, by a scale."""

    def apply(module):
        with torch.no_grad():
            for parameter in module.get_submodule(path).parameters():
                parameter.mul_(scale)

    return apply


TURN = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))[0]
turned = embedding(lambda z: z @ TURN)
larger = embedding(lambda z: 3 * z)
moved = embedding(lambda z: z + 1)
# ReLU bends where it did, and what leaves it grows by as much.
inside, outside = layer("body.3", 2.0), layer("head", 2.0)

UNCHANGED_BY = {
    "alignment": [turned, larger],
    "binaries": [inside, outside],
    "certified_accuracy": [outside],
    "dead_units": [inside, outside],
    "effective_rank": [turned, larger],
    "embedding_deviation": [larger],
    "isotropy": [turned, larger, moved],
    "linear_probe": [larger, moved],
    "linear_regions": [inside, outside],
    "regions_on_segment": [inside, outside],
    "relative_gradient_noise": [inside, outside],
    "smoothness_on_segments": [outside],
    "sparsity": [inside, outside],
    "spectrum": [turned, larger, moved],
    "uniformity": [turned, larger],
}


def without_batch_norm(self, batch_size):
    """The module that is measured, but for what a private training may not have."""
    torch.manual_seed(0)
    model = OfferingAll(self.activation)
    model.body[1] = nn.Identity()
    return Fitted(model, model.batches(batch_size), loss=cross_entropy, name="classifier")


def laws_of(name):
    """A class of tests for one measure; latency reads a clock."""
    members = {
        "measure": all_measures()[name],
        "options": OPTIONS.get(name, {}),
        "known": KNOWN[name],
        "unchanged_by": UNCHANGED_BY.get(name, ()),
        "activation": "tanh" if name == "curvature" else "relu",
        "deterministic": name != "latency",
    }
    if name == "privacy":
        members["fitted"] = without_batch_norm
    return type(f"Test_{name}", (MeasureLaws,), members)


globals().update({f"Test_{name}": laws_of(name) for name in KNOWN})


def test_the_list_is_complete():
    assert sorted(all_measures()) == list(KNOWN)
