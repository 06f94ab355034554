"""A metric's name tells its direction by whole words, or it is asked for."""

import pytest

from actsearch.errors import InvalidValueError
from actsearch.search.study.metric_names import in_test, mode_of


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("val_accuracy", "max"), ("val_acc", "max"), ("val_f1", "max"), ("valAUROC", "max"),
        ("metrics/r2", "max"), ("val_loss", "min"), ("val_error2", "min"),
        ("val_previous_loss", "min"), ("val_rmse", "min"), ("accuracy_loss", "min"),
        ("novelty/fpr95/typical", "min"), ("novelty/auroc/typical", "max"),
    ],
)  # fmt: skip
def test_the_last_known_word_tells(metric, mode):
    assert mode_of(metric) == mode


@pytest.mark.parametrize("metric", ["val_inaccuracy", "val_interest", "score", "val"])
def test_an_unknown_name_asks_for_the_mode(metric):
    with pytest.raises(InvalidValueError, match=f"but got {metric!r}. Pass --mode min or max"):
        mode_of(metric)


@pytest.mark.parametrize(
    ("metric", "called"),
    [
        ("val_loss", "test_loss"), ("valid_f1", "test_f1"), ("loss/val", "loss/test"),
        ("interval_loss", "interval_loss"), ("value", "value"), ("loss", "loss"),
    ],
)  # fmt: skip
def test_the_name_in_test_replaces_a_whole_word(metric, called):
    assert in_test(metric) == called
