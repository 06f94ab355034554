"""How a search is run: what the command and the call take beside what decides the numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from actsearch.errors import InvalidValueError
from actsearch.search.executors.ray_options import RayOptions
from actsearch.search.executors.resources import Resources
from actsearch.search.study.record_url import chosen_record


@dataclass(frozen=True)
class RunOptions:
    """How a search is run: what does not decide its numbers.

    Args:
        trials: total number of trained trials of the study, the baseline included; this, confirm
            and seeds are the task's own where it has some.
        time: seconds of wall-clock time for all, the confirmation included; no trial is started
            that would not fit.
        jobs: trainings at a time; with 1 the same seed gives the same trials.
        store: folder of the studies: the record, the mirror and the files.
        record: URL of a PostgreSQL database that has the record in place of that folder, for
            several machines: ``postgresql+psycopg://USER@HOST/DATABASE``, the password by
            ``PGPASSWORD`` or ``~/.pgpass``.
        study: name of the study, ``<task>-<space>`` by default; the same call again resumes it.
        warm_start: name of an earlier study whose best placements are tried first.
        confirm: how many of the best are confirmed afterwards; 0 for none, and then nothing is
            known to be better.
        seeds: trainings per arm of the confirmation, on average; 8 find a gain of one standard
            deviation in 47 %.
        trial_timeout: seconds after which a training is stopped and counts as failed.
        executor: ``local`` (a process for each training), ``ray`` (a task of a Ray cluster) or
            ``inline`` (this process, for notebooks and debuggers).
        cpus_per_trial: threads of each training; its share of the cores by default.
        gpus_per_trial: devices of each training, or the fraction of one: 0.5 where two share it; by
            default as many as its trainer asks for, one of its own where there are enough.
        ray_address: of the Ray cluster, ``auto`` or ``HOST:PORT``; without it that of
            ``RAY_ADDRESS``, else one is started on this machine.
        ray_runtime_env: YAML file of what Ray brings to its nodes, such as ``working_dir: .`` for
            your code.
        ray_resources: that a training needs besides, as JSON; ``{"spot": 1}`` for nodes that were
            started with it.
        accept_changes: go on with a study although the code or data it was begun with, or versions
            of actsearch, torch or Lightning, have changed.
    """

    trials: int = 30
    time: float | None = None
    jobs: int = 1
    store: str = "mlruns"
    record: str = ""
    study: str = ""
    warm_start: str = ""
    confirm: int = 3
    seeds: int = 8
    trial_timeout: float | None = None
    executor: Literal["local", "ray", "inline"] = "local"
    cpus_per_trial: int | None = None
    gpus_per_trial: float | None = None
    ray_address: str = ""
    ray_runtime_env: str = ""
    ray_resources: str = ""
    accept_changes: bool = False

    WHERE = (
        "jobs",
        "trial_timeout",
        "executor",
        "cpus_per_trial",
        "gpus_per_trial",
        "ray_address",
        "ray_runtime_env",
        "ray_resources",
    )
    """What a confirmation has as well: where its trainings run."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "record", chosen_record(self.record))
        for name, least in {"trials": 1, "jobs": 1, "confirm": 0, "seeds": 1}.items():
            if (value := getattr(self, name)) < least:
                raise InvalidValueError(f"{name} must be at least {least}, but got {value}.")
        for name in ("time", "trial_timeout"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InvalidValueError(f"{name} must be seconds above 0, but got {value}.")
        self.resources, self.ray  # noqa: B018  # check themselves

    @property
    def resources(self) -> Resources:
        """What each training gets of its machine."""
        return Resources(self.cpus_per_trial, self.gpus_per_trial)

    @property
    def ray(self) -> RayOptions:
        """Which Ray cluster, and what each training needs there."""
        return RayOptions(self.ray_address, self.ray_runtime_env, self.ray_resources)
