"""What each of several trainings at a time gets of this machine: threads and devices."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from actsearch.errors import InvalidValueError

if TYPE_CHECKING:
    from actsearch.search.training.job import Job

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable by which CUDA, and ROCm's torch, know which devices a process may use."""

_DEVICE = re.compile(r"^GPU \d+: .*\(UUID: (\S+)\)|^\s+MIG .*\(UUID: (\S+)\)")


@dataclass(frozen=True)
class Resources:
    """What each training gets, where the user says so.

    Args:
        cpus: threads; ``None`` for its share of the cores.
        gpus: devices, or the fraction of one: 0.5 where two share it; ``None`` for as many as its
            trainer asks for.

    Raises:
        InvalidValueError: a number that nothing can be divided by.
    """

    cpus: int | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.cpus is not None and self.cpus < 1:
            raise InvalidValueError(f"cpus-per-trial must be at least 1, but got {self.cpus}.")
        gpus = None if self.gpus is None else float(self.gpus)
        if gpus is not None and not (0 <= gpus <= 1 or (gpus > 1 and gpus.is_integer())):
            raise InvalidValueError(
                "gpus-per-trial must be a whole number, or a fraction between 0 and 1, but got"
                f" {gpus:g}."
            )


class Devices:
    """The CUDA devices of this machine, each training's own.

    A training gets the least used ones, so that there are never two on one device while another
    is idle.

    Args:
        resources: what each gets.
        names: of the devices; by default those that this process may use.
    """

    def __init__(self, resources: Resources, names: Sequence[str] | None = None) -> None:
        self.resources = resources
        self._names = names
        self._used: dict[str, float] = defaultdict(float)
        self._taken: dict[int, tuple[list[str], float]] = {}

    @cached_property
    def names(self) -> list[str]:
        """The devices; nobody is asked before they are needed."""
        return visible_devices() if self._names is None else list(self._names)

    def check(self, jobs: int) -> None:
        """Raise where so many trainings at a time have no room.

        Raises:
            InvalidValueError: the devices are too few.
        """
        each = self.resources.gpus
        if not each:
            return
        there = len(self.names)
        room = there // int(each) if each > 1 else there * int(1 / each + 1e-9)
        if jobs > room:
            raise InvalidValueError(
                f"{jobs} trainings at a time with {each:g} devices each must fit on this machine,"
                f" but it has {there}. Choose --jobs {max(1, room)}, or another"
                " --gpus-per-trial."
            )

    def take(self, key: int, job: Job) -> str | None:
        """Return the devices of a training, as CUDA wants to be told of them.

        ``None`` where there is nothing to tell: no device, or a training that asks for none.

        Args:
            key: of the training.
            job: what it asks for.
        """
        each = self.resources.gpus
        if each is None:
            each = devices_asked(job, len(self.names))
            if not self.names or not each:
                return None
        wanted = math.ceil(each)
        chosen = sorted(self.names, key=lambda name: self._used[name])[:wanted]
        chosen.sort(key=self.names.index)
        part = each / wanted if wanted else 0.0
        for name in chosen:
            self._used[name] += part
        self._taken[key] = chosen, part
        return ",".join(chosen)

    def give_back(self, key: int) -> None:
        """Note that a training has ended."""
        chosen, part = self._taken.pop(key, ([], 0.0))
        for name in chosen:
            self._used[name] -= part


def visible_devices() -> list[str]:
    """Return the CUDA devices that this process may use, by index or UUID.

    What the environment names goes first; else each instance of a divided device (MIG) is one.
    """
    given = os.environ.get(VISIBLE)
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        # CUDA as well stops at the first that it cannot take.
        end = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
        return names[:end]
    if (listed := _listed()) is not None:
        return listed
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def _listed() -> list[str] | None:
    """Return what NVIDIA's driver lists; ``None`` where nobody can be asked."""
    if (command := shutil.which("nvidia-smi")) is None:
        return None
    try:
        told = subprocess.run(  # noqa: S603  # the driver's own command
            [command, "-L"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_listing(told.stdout)


def parse_listing(text: str) -> list[str]:
    """Return the UUIDs in the output of ``nvidia-smi -L``: instances in place of their device."""
    names: list[str] = []
    whole = ""
    for line in text.splitlines():
        if (found := _DEVICE.match(line)) is None:
            continue
        device, instance = found.groups()
        if instance and names and names[-1] == whole:
            names.pop()
        whole = device or whole
        names.append(device or instance)
    return names


def devices_asked(job: Job, there: int) -> int:
    """Return how many devices a training's trainer asks for."""
    trainer = job.config.get("trainer", {})
    devices = trainer.get("devices", 1)
    if trainer.get("accelerator") == "cpu":
        return 0
    if isinstance(devices, str):
        devices = int(devices) if devices.lstrip("-").isdecimal() else devices
    if isinstance(devices, Sequence) and not isinstance(devices, str):
        return len(devices)
    return devices if isinstance(devices, int) and devices >= 0 else there
