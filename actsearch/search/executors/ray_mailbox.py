"""Reports of trainings on a cluster, and the coordinator's answers, between the two."""

from __future__ import annotations

import asyncio
from typing import NamedTuple


class EpochReport(NamedTuple):
    """What a training tells after an epoch.

    Args:
        attempt: its number; each time that a training is begun has one of its own.
        number: of the report; they are counted from 0 in each attempt.
        epoch: that has ended.
        metrics: of the epoch.
    """

    attempt: int
    number: int
    epoch: int
    metrics: dict[str, float]


class Answer(NamedTuple):
    """Whether a training must stop, by the attempt and the number of its report."""

    attempt: int
    number: int
    stop: bool


class Mailbox:
    """Holds reports until the coordinator has answered them.

    It keeps nothing that it could lose: where it dies, Ray starts another one and calls it again
    with what nobody has answered, and the coordinator answers a report that it knows as before.
    """

    def __init__(self) -> None:
        self._asked: dict[int, tuple[EpochReport, asyncio.Future[bool]]] = {}
        self._unread: list[EpochReport] = []
        self._news = asyncio.Event()

    async def report(self, report: EpochReport) -> bool:
        """Hand a report in, and return its answer."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked[report.attempt] = report, answer
        self._unread.append(report)
        self._news.set()
        return await answer

    async def exchange(self, answers: list[Answer]) -> list[EpochReport]:
        """Give answers, and wait for reports that nobody has read."""
        for attempt, number, stop in answers:
            report, answer = self._asked.get(attempt, (None, None))
            if report is None or answer is None or report.number != number:
                continue  # of a mailbox before this one: it will be asked again
            del self._asked[attempt]
            if not answer.done():
                answer.set_result(stop)
        await self._news.wait()
        self._news.clear()
        read, self._unread = self._unread, []
        return read

    async def leave(self) -> None:
        """Let nobody wait for reports any more."""
        self._news.set()
