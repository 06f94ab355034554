"""Every measure that comes along, under the laws of a measure."""

from __future__ import annotations

from actsearch.measures import all_measures
from actsearch.measures.laws import MeasureLaws

NAMES = [
    "alignment",
    "calibration",
    "certified_accuracy",
    "dead_units",
    "derivative_error",
    "effective_rank",
    "embedding_deviation",
    "gradient_cosine",
    "gradient_flow",
    "gradient_ratio",
    "gradient_variance",
    "isotropy",
    "knn_accuracy",
    "latency",
    "linear_probe",
    "linear_regions",
    "novelty",
    "parameters",
    "peak_memory",
    "privacy",
    "regions_on_segment",
    "relative_gradient_noise",
    "robustness",
    "saliency",
    "sparsity",
    "uniformity",
    "verification",
]
OPTIONS = {"privacy": {"epsilons": [1.0], "seeds": 1, "epochs": 3}}  # fast ones


def laws_of(name):
    """A class of tests for one measure; latency reads a clock."""
    members = {
        "measure": all_measures()[name],
        "options": OPTIONS.get(name, {}),
        "deterministic": name != "latency",
    }
    return type(f"Test_{name}", (MeasureLaws,), members)


globals().update({f"Test_{name}": laws_of(name) for name in NAMES})


def test_the_list_is_complete():
    assert sorted(all_measures()) == NAMES
