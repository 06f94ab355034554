"""How a search is run: each option in its range, told by its name."""

from __future__ import annotations

import math

import pytest

from actsearch.cli.options import take
from actsearch.errors import InvalidValueError
from actsearch.run_options import RunOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials must be at least 1, but got 0"),
        ({"jobs": 0}, "jobs must be at least 1, but got 0"),
        ({"confirm": -1}, "confirm must be at least 0, but got -1"),
        ({"seeds": 0}, "seeds must be at least 1, but got 0"),
        ({"time": 0.0}, "time must be seconds above 0, but got 0.0"),
        ({"time": math.nan}, "time must be seconds above 0, but got nan"),
        ({"trial_timeout": -1.0}, "trial_timeout must be seconds above 0, but got -1.0"),
    ],
)
def test_out_of_range(options, message):
    with pytest.raises(InvalidValueError, match=message):
        RunOptions(**options)


def test_an_option_without_its_value_is_told():
    with pytest.raises(InvalidValueError, match="--data must have a value, but nothing follows it"):
        take("--data", ["--trials", "3", "--data"])
