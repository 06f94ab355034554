"""Adam first, L-BFGS afterwards: one optimiser for full batches that shall be fitted closely."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError

MOST_EVALUATIONS = 25
"""Of the loss in one line search; torch's own limit leaves none where ``iterations`` is 1."""

FIRST_LOSS = 1e4
"""What the first loss counts as for L-BFGS, which drops curvatures below 1e-10 of any unit."""

SETTLED = 1e-13
"""Relative change of the loss from one step to the next, below which no further step is taken."""

_OWN = ("taken", "factor", "last", "settled")
"""What it keeps of its own between steps."""


class AdamLBFGS(torch.optim.AdamW):
    r"""AdamW for the first steps, then L-BFGS with a strong Wolfe line search.

    Adam leaves a bad start, and L-BFGS comes as near as rounding lets it. Both stand behind one
    ``step``, so that a LightningModule optimises automatically and its rate can be tuned: the
    learning rate and its schedule are Adam's; L-BFGS begins each line search at 1. Each step of
    either needs the loss of the same batch, all samples, without dropout.

    Args:
        params: parameters or groups.
        adam_steps: steps of AdamW, at least 0.
        iterations: of L-BFGS in each later step, at least 1.
        lr: learning rate of AdamW.
        weight_decay: of AdamW; L-BFGS has none.

    References:
        On the limited memory BFGS method for large scale optimization, D. Liu and J. Nocedal, 1989,
        https://doi.org/10.1007/BF01589116

    >>> x = torch.zeros(2, requires_grad=True)
    >>> optimizer = AdamLBFGS([x], adam_steps=2, iterations=20, lr=0.1)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (x - 3).pow(4).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = [optimizer.step(closure) for _ in range(6)]
    >>> bool((x - 3).abs().max() < 1e-2)
    True
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        adam_steps: int,
        iterations: int = 1,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay)
        self.adam_steps, self.iterations, self.taken = adam_steps, iterations, 0
        self.factor = 0.0  # of the loss for L-BFGS, from its first step on
        self.last, self.settled = float("inf"), False
        self._lbfgs: torch.optim.LBFGS | None = None

    @override
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        self.taken += 1
        if self.taken <= self.adam_steps:
            return super().step(closure)
        if closure is None:
            raise InvalidValueError("L-BFGS must have a closure of the loss, but got none.")
        if self.settled:
            return closure()
        loss = self.lbfgs().step(lambda: self._enlarged(closure)) / self.factor
        self.settled = abs(float(loss) - self.last) <= SETTLED * abs(float(loss))
        self.last = float(loss)
        return loss

    def _enlarged(self, closure: Callable[[], Any]) -> Any:
        """Evaluate the loss, large enough that torch's L-BFGS keeps its curvature."""
        loss = closure().detach()
        if not self.factor:
            self.factor = FIRST_LOSS / max(abs(float(loss)), torch.finfo(loss.dtype).tiny ** 0.5)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(self.factor)
        return loss * self.factor

    def lbfgs(self) -> torch.optim.LBFGS:
        """Return the second optimiser, which takes all parameters as one group."""
        if self._lbfgs is None:
            self._lbfgs = torch.optim.LBFGS(
                [p for group in self.param_groups for p in group["params"]],
                max_iter=self.iterations,
                max_eval=MOST_EVALUATIONS * self.iterations,
                tolerance_grad=1e-12,
                tolerance_change=1e-15,
                history_size=50,
                line_search_fn="strong_wolfe",
            )
        return self._lbfgs

    @override
    def state_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in _OWN}
        return {**super().state_dict(), **own, "lbfgs": self.lbfgs().state_dict()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for name in _OWN:
            setattr(self, name, state_dict[name])
        self.lbfgs().load_state_dict(state_dict["lbfgs"])
