"""Stop a training in its first steps: a loss that is not finite, or no better than chance where the baseline's is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from actsearch.activations.trainability import PASSED, Trainability
from actsearch.errors import InvalidValueError

LEARNED = 0.05
"""Share of its chance loss that the baseline must have got rid of before a candidate is judged by it."""

PROGRESS = 0.02
"""Share of the baseline's gain that a candidate must have made by the end of the window.

It is small, because losses of different batches differ, and one good candidate in six starts ten
times as slowly as the baseline."""


class Watchdog:
    r"""Judge the losses of the first steps of a training by those of the baseline.

    At the end of the window, with the means :math:`\bar L_1` and :math:`\bar L_3` of the first and
    last third of the candidate's losses and :math:`\bar B_3` of the baseline's, a training is
    stopped where it neither is better than chance nor becomes better,

    .. math:: C - \bar L_3 < 0.02 \, (C - \bar B_3) \text{ and } \bar L_1 - \bar L_3 < 0.02 \, (C - \bar B_3),
              \quad \text{if } C - \bar B_3 > 0.05 \, |C|

    and it is stopped at any step at which the loss is not finite.

    Args:
        baseline: losses of the baseline's first steps, as many as the window shall have: 3 % of a
            training, say.
        chance: loss :math:`C` of a model that has learned nothing; the baseline's first loss unless
            given.

    Raises:
        InvalidValueError: a baseline without losses, or with one that is not finite.

    >>> watch = Watchdog([2.3, 1.9, 1.5])
    >>> [watch.update(loss).passed for loss in (2.3, 2.3, 2.3)]
    [True, True, False]

    """

    def __init__(self, baseline: Sequence[float], chance: float | None = None) -> None:
        if not baseline or not all(math.isfinite(loss) for loss in baseline):
            raise InvalidValueError(
                f"baseline must be losses, all finite, at least one, but got {list(baseline)!r}."
            )
        self.window = len(baseline)
        self.chance = baseline[0] if chance is None else chance
        self.gain = self.chance - _late(baseline)
        self.losses: list[float] = []
        self.step = -1

    def update(self, loss: float) -> Trainability:
        """Take the loss of the next step, and say whether the training is worth going on."""
        self.step += 1
        if not math.isfinite(loss):
            return Trainability(False, f"diverged: the loss is {loss} at step {self.step}")
        if self.step >= self.window:
            return PASSED
        self.losses.append(loss)
        if self.step < self.window - 1 or self.gain <= LEARNED * abs(self.chance):
            return PASSED
        late = _late(self.losses)
        if max(self.chance, _late(self.losses[::-1])) - late < PROGRESS * self.gain:
            by = f"where the baseline has fallen by {self.gain:.3g}"
            return Trainability(
                False,
                f"no better than chance: the loss is {late:.3g} after {self.window} steps, {by}",
            )
        return PASSED


def _late(losses: Sequence[float]) -> float:
    last = losses[-max(1, len(losses) // 3) :]
    return sum(last) / len(last)
