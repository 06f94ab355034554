from typing import Annotated, Literal

import pytest

from actsearch.errors import InvalidValueError
from actsearch.task.options import (
    ClosedUnitInterval,
    Interval,
    NonNegativeFloat,
    NonNegativeInt,
    OpenUnitInterval,
    PositiveFloat,
    PositiveInt,
    check_option,
)

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("annotation", "right", "wrong", "rule"),
    [
        (PositiveInt, [1, 10**9], [0, 1.0, True, "1", None], "a whole number of at least 1"),
        (PositiveInt | None, [None, 1], [0], "a whole number of at least 1"),
        (NonNegativeInt, [0], [-1], "a whole number of at least 0"),
        (Annotated[int, Interval(4)], [4], [3], "a whole number of at least 4"),
        (PositiveFloat, [1e-9, 1], [0.0, -1, NAN, INF, True], "a finite number above 0"),
        (NonNegativeFloat, [0, 0.5], [-1e-9, NAN, INF], "a finite number of at least 0"),
        (OpenUnitInterval, [0.5], [0, 1.0, NAN], "between 0 and 1"),
        (ClosedUnitInterval, [0, 1.0], [-0.1, 1.1, NAN], "between 0 and 1"),
        (Literal["a", "b"], ["a"], ["c", None], "one of a, b"),
        (Literal["a", "b"] | None, ["a", None], ["c"], "one of a, b"),
        (str, ["anything"], [], ""),
    ],
    ids=str,
)
def test_a_value_is_what_its_annotation_allows(annotation, right, wrong, rule):
    for value in right:
        check_option("size", value, annotation)
    for value in wrong:
        with pytest.raises(InvalidValueError) as caught:
            check_option("size", value, annotation)
        assert str(caught.value) == f"size must be {rule}, but got {value!r}."
