"""Trainers whose strategy trains in processes of its own."""

from __future__ import annotations

from typing import Any

from actsearch.errors import TaskError


def leaves_process(trainer: Any) -> bool:
    """Whether a trainer trains in processes that its strategy spawns or forks.

    What callbacks note there does not come back, only the weights and the last metrics do. So such
    a training is neither pruned nor stopped in its first steps.

    Raises:
        TaskError: the strategy would start the command anew in its further processes.
    """
    names = [cls.__name__ for cls in type(trainer.strategy.launcher).__mro__]
    if "_SubprocessScriptLauncher" in names and trainer.strategy.num_processes > 1:
        name = type(trainer.strategy).__name__
        raise TaskError(
            f"strategy for several devices must spawn its processes, but got {name!r}, which starts"
            " the command anew in each. Choose --trainer.strategy ddp_spawn, or"
            " --trainer.devices 1."
        )
    return "_MultiProcessingLauncher" in names
