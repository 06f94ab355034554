"""What every result must fulfil.

``derivative_bound <= 1`` is of every activation, ``latency <= 0.5`` of the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from actsearch.activations import Requirement
from actsearch.activations.properties.properties import FACTS
from actsearch.errors import InvalidValueError

_BOUND = re.compile(r"\s*([\w./@-]+)\s*(<=|>=)\s*([-+.\deE]+)\s*")


@dataclass(frozen=True)
class Bound:
    """A bound on a metric or measure of the trained model.

    Args:
        metric: its name.
        sign: 1 where the value must not exceed the limit, -1 where it must reach it.
        limit: the limit.
    """

    metric: str
    sign: int
    limit: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``latency <= 0.5``.

        Raises:
            InvalidValueError: not of that form.
        """
        match = _BOUND.fullmatch(text)
        try:
            if match:
                return cls(match[1], 1 if match[2] == "<=" else -1, float(match[3]))
        except ValueError:
            pass
        raise InvalidValueError(
            "a constraint must be facts of activations ('bounded and derivative_bound <= 1') or"
            f" METRIC <= NUMBER, but got {text!r}."
        )

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.sign > 0 else '>='} {self.limit!r}"

    def violation(self, value: float) -> float:
        """Return by how much a value breaks the bound.

        At most 0 where it holds (Optuna's convention).
        """
        return self.sign * (value - self.limit)


def split(texts: Sequence[str]) -> tuple[str, list[Bound]]:
    """Return the requirement on every activation, and the bounds on metrics of the model.

    Raises:
        InvalidValueError: a text that is neither.

    >>> split(["derivative_bound <= 1 and bounded", "latency <= 0.5"])
    ('(derivative_bound <= 1 and bounded)', [Bound(metric='latency', sign=1, limit=0.5)])
    """
    required, bounds = [], []
    for text in texts:
        words = set(re.findall(r"[A-Za-z_][\w./@-]*", text)) - {"and", "or", "not", "inf"}
        if words and words <= set(FACTS):
            Requirement(text)
            required.append(f"({text})")
        else:
            bounds.append(Bound.parse(text))
    return " and ".join(required), bounds
