"""Ctrl-C and SIGTERM, noted when they come and raised where nothing is torn."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """Holds back a first SIGINT or SIGTERM until :meth:`check`.

    A second one ends the process at once. In threads other than the main one nothing is held.
    """

    def __init__(self) -> None:
        self._signal = 0
        self._handlers: dict[int, Any] = {}

    def hold(self) -> None:
        """Note signals from now on."""
        if threading.current_thread() is threading.main_thread():
            self._handlers = {
                number: signal.signal(number, self._note)
                for number in (signal.SIGINT, signal.SIGTERM)
            }

    def release(self) -> None:
        """Let them do what they did before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise what came.

        Raises:
            KeyboardInterrupt: with the exit code of a process that the signal has ended.
        """
        if self._signal:
            raise KeyboardInterrupt(128 + self._signal)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal:
            os._exit(128 + number)
        self._signal = number
