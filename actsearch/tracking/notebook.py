"""The progress of a search in a notebook: the bars of a terminal, as part of the cell's output."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Self

from optuna.trial import FrozenTrial
from rich.console import Console
from typing_extensions import override

from actsearch.placement import Placement
from actsearch.search.loop.listener import Listener
from actsearch.search.study.record import StudyRun
from actsearch.tracking.progress import Progress

EVERY = 0.25
"""Seconds between two pictures of the bars."""

WIDTH_OF_BARS = 110
"""Characters."""


def silent(done: int, of: int) -> None:
    """Show nothing of a confirmation."""


@dataclass(frozen=True)
class Watched:
    """Who is told of a search.

    Args:
        listeners: of its trials.
        progress: of its confirmation.
    """

    listeners: Sequence[Listener]
    progress: Callable[[int, int], None]


@contextmanager
def shown_in_notebook(
    listeners: Sequence[Listener], progress: Callable[[int, int], None]
) -> Iterator[Watched]:
    """Show bars for the time of the block, in a notebook where nobody else is told."""
    if listeners or progress is not silent or not Console().is_jupyter:
        yield Watched(listeners, progress)
        return
    with NotebookProgress() as bars:
        yield Watched([bars], bars.confirming)


class NotebookProgress(Progress):
    """Shows how a search goes in the output of a notebook's cell.

    By IPython's display, which every front end has and a saved notebook keeps; rich's own bars in a
    notebook need the widgets of another package.
    """

    def __init__(self) -> None:
        self._nowhere = Path(os.devnull).open("w")  # noqa: SIM115  # closed with the block
        super().__init__(
            console=Console(file=self._nowhere, force_terminal=True, force_jupyter=False)
        )
        self._handle: Any = None
        self._last = 0.0

    @override
    def __enter__(self) -> Self:
        return self

    @override
    def __exit__(self, *error: object) -> None:
        self._draw(at_once=True)
        self._nowhere.close()

    @override
    def started(self, run: StudyRun, total: int) -> None:
        super().started(run, total)
        self._draw(at_once=True)

    @override
    def trial_started(self, number: int, placement: Placement | None) -> None:
        super().trial_started(number, placement)
        self._draw()

    @override
    def reported(self, number: int, epoch: int, metrics: dict[str, float]) -> None:
        super().reported(number, epoch, metrics)
        self._draw()

    @override
    def trial_ended(self, trial: FrozenTrial) -> None:
        super().trial_ended(trial)
        self._draw()

    @override
    def confirming(self, done: int, of: int) -> None:
        super().confirming(done, of)
        self._draw()

    def _draw(self, at_once: bool = False) -> None:
        """Put the bars as they are now in place of those before."""
        if not at_once and time.monotonic() - self._last < EVERY:
            return
        self._last = time.monotonic()
        from IPython.display import HTML, display

        drawn = Console(
            file=StringIO(), record=True, width=WIDTH_OF_BARS, force_terminal=True,
            force_jupyter=False,
        )  # fmt: skip
        drawn.print(self.bars.get_renderable())
        bars = HTML(drawn.export_html(inline_styles=True, code_format="<pre>{code}</pre>"))
        if self._handle is None:
            self._handle = display(bars, display_id=True)
        else:
            self._handle.update(bars)
