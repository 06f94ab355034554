"""What the name of a metric tells: its better direction, and what it is called in test."""

from __future__ import annotations

import re

from actsearch.errors import InvalidValueError
from actsearch.measures import directions
from actsearch.task.task import Mode

HIGHER = frozenset(
    [
        "acc",
        "accuracy",
        "auc",
        "auroc",
        "ap",
        "map",
        "f1",
        "fbeta",
        "dice",
        "iou",
        "jaccard",
        "kappa",
        "mcc",
        "r2",
        "pearson",
        "spearman",
        "return",
        "reward",
        "success",
        "precision",
        "recall",
        "sensitivity",
        "specificity",
        "likelihood",
        "evidence",
        "elbo",
        "psnr",
        "ssim",
        "bleu",
        "rouge",
        "rank",
        "isotropy",
    ]
)
LOWER = frozenset(
    [
        "loss",
        "error",
        "err",
        "mse",
        "mae",
        "rmse",
        "rmsle",
        "mape",
        "nll",
        "bpd",
        "perplexity",
        "ppl",
        "ce",
        "bce",
        "entropy",
        "divergence",
        "kl",
        "distance",
        "fid",
        "wer",
        "cer",
        "regret",
        "cost",
        "spikes",
        "latency",
        "parameters",
        "residual",
        "violation",
        "fpr",
        "uniformity",
        "alignment",
    ]
)


def direction_of(name: str) -> Mode:
    """Return the better direction of a measure or a metric.

    Raises:
        InvalidValueError: a name that does not tell it.

    >>> direction_of("certified_accuracy"), direction_of("val_loss")
    ('max', 'min')
    """
    return directions().get(name) or mode_of(name)


def mode_of(metric: str) -> Mode:
    """Return the better direction that a metric's name tells, by its last word that is known.

    Raises:
        InvalidValueError: none of its words is known.

    >>> mode_of("val_accuracy"), mode_of("val_previous_loss"), mode_of("val/error2")
    ('max', 'min', 'min')
    """
    for word in reversed(words(metric)):
        word = word.rstrip("0123456789") if word not in HIGHER else word
        if word in HIGHER or word in LOWER:
            return "max" if word in HIGHER else "min"
    raise InvalidValueError(
        f"mode must be given where the metric's name does not tell it, but got {metric!r}. Pass"
        " --mode min or max."
    )


def in_test(metric: str) -> str:
    """Return what a metric of validation is called in test.

    >>> in_test("val_loss"), in_test("interval_loss"), in_test("loss/valid")
    ('test_loss', 'interval_loss', 'loss/test')
    """
    return re.sub(
        r"(?<![a-z])(val|valid|validation)(?![a-z])", "test", metric, count=1, flags=re.IGNORECASE
    )


def words(metric: str) -> list[str]:
    """Return the words of a name, in lower case.

    They end at signs, and where a capital follows a small letter.
    """
    return [
        word
        for word in re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", metric).lower())
        if word
    ]
