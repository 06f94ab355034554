"""Where jobs run: a job in, a result out, reports and the pruning answer in between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Self

from actsearch.search.training.job import Job, Result

OnReport = Callable[[int, int, dict[str, float]], bool]
"""Called in the coordinator with (key, epoch, metrics); answers whether the trial must stop."""


class Executor(ABC):
    """Runs trials, and knows nothing of studies: the coordinator alone talks to Optuna and MLflow.

    Laws: every submitted key comes back exactly once from :meth:`wait`, whatever happens to the
    trial; a trial that fails, exits, is killed or hangs harms no other; :meth:`close` leaves no
    process behind.

    Attributes:
        in_this_process: whether a training that dies takes the coordinator with it.
    """

    in_this_process: ClassVar[bool] = False

    @abstractmethod
    def submit(self, key: int, job: Job) -> None:
        """Start a trial under a key of the caller's choice."""

    @abstractmethod
    def wait(self, on_report: OnReport) -> list[tuple[int, Result]]:
        """Wait for news, pass reports on, and return the trials that ended; possibly none, soon."""

    @abstractmethod
    def close(self) -> None:
        """Stop everything that still runs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
