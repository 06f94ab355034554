"""How a study was run: the command, the versions, the machine, when and how long."""

from __future__ import annotations

import json
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import torch

from actsearch.imports import installed
from actsearch.search.executors.threads import usable_cores
from actsearch.search.study.record import StudyRun
from actsearch.search.study.record_url import masked

ATTRIBUTE_OF_CALLS = "actsearch.calls"
"""The attribute of a study that has its calls."""

PACKAGES = ("actsearch", "torch", "lightning", "optuna", "mlflow", "numpy")
MOST_CALLS = 50
"""Of a study; of more the first and the last are kept."""

SECOND = timedelta(seconds=1)
_SECRET = re.compile(
    r"((?:token|secret|password|api_?key)[= ]+|://[^/@\s:]*:)[^\s@]+", re.IGNORECASE
)


@dataclass(frozen=True)
class StudyCall:
    """One call that ran a study.

    Args:
        command: the command line, or that of the program that made the call.
        date: when it began, with the time zone.
        seconds: how long it took; ``None`` for one that did not come to its end.
        machine: name, system and processor.
        versions: of Python, and of the packages that decide numbers.
    """

    command: str
    date: str
    seconds: float | None = None
    machine: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begun(cls) -> Self:
        """Return this process's call, from now on."""
        return cls(
            _command(),
            datetime.now().astimezone().isoformat(" ", "seconds"),
            machine=_machine(),
            versions={"python": platform.python_version()}
            | {name: found for name in PACKAGES if (found := installed(name))},
        )


def record_call(run: StudyRun) -> StudyCall:
    """Keep with a study that this process calls it from now on, and return the call."""
    call = StudyCall.begun()
    calls = calls_of(run)
    _keep(run, [*calls[:1], *calls[1:][-(MOST_CALLS - 2) :], call])
    return call


def record_end(run: StudyRun, call: StudyCall) -> None:
    """Keep how long the last call took."""
    seconds = round((datetime.now().astimezone() - datetime.fromisoformat(call.date)) / SECOND, 1)
    _keep(run, [*calls_of(run)[:-1], replace(call, seconds=seconds)])


def _keep(run: StudyRun, calls: Sequence[StudyCall]) -> None:
    run.study.set_user_attr(ATTRIBUTE_OF_CALLS, json.dumps([asdict(call) for call in calls]))


def calls_of(run: StudyRun) -> list[StudyCall]:
    """Return the calls that ran a study, in order; none of those of earlier versions."""
    known = {one.name for one in fields(StudyCall)}
    data = json.loads(run.study.user_attrs.get(ATTRIBUTE_OF_CALLS, "[]"))
    return [StudyCall(**{key: one[key] for key in known & set(one)}) for one in data]


def _command() -> str:
    """Return the command line, without the values of options that are named as secrets."""
    program, *arguments = sys.argv or [""]
    if "ipykernel" in program or hasattr(sys, "ps1"):
        return "in a notebook or an interactive session"
    name = Path(program).name
    words = ["actsearch"] if name in ("actsearch", "__main__.py") else ["python", program]
    return _SECRET.sub(r"\1***", shlex.join([*words, *map(masked, arguments)]))


def _machine() -> str:
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    kind = f"{system}, {usable_cores()} cores"
    if (devices := torch.cuda.device_count()) > 0:
        kind += f", {devices} CUDA devices"
    return f"{platform.node()}: {kind}"
