"""What crosses the border between the coordinator and a trial: plain data, as JSON, both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

Stage = Literal["probe", "search", "confirm"]
State = Literal["complete", "pruned", "failed"]
Score = Literal["last", "best"]
Report = Callable[[int, dict[str, float]], bool]
"""Called by a trial after each epoch with the epoch and its metrics.

Answers whether to stop (prune).
"""

REDUCTION = 3
"""Each further training of a trial takes so many times as much.

Of the trials, as large a share goes on (successive halving).
"""


class _Data:
    """Plain data that travels as JSON."""

    def dumps(self) -> str:
        """Return the data as JSON."""
        return json.dumps(asdict(self), allow_nan=True)  # type: ignore[call-overload]  # every subclass is a dataclass

    @classmethod
    def loads(cls, text: str | bytes) -> Self:
        """Read the data from JSON."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Specification(_Data):
    """One training: everything that a trial needs, wherever it runs.

    Args:
        task: a built-in task's name, or the dotted path of a LightningModule or of a training
            function.
        data: the dotted path of a LightningDataModule, or empty where the module has its own data.
        model: the dotted path of what builds the model for a training function; empty where the
            task is a module.
        config: options by part: ``task``, ``data``, ``trainer``.
        objectives: names of the metrics that it is judged by.
        mode: the better direction of the first one.
        placement: the placement file's data, or ``None`` for the model's own activations.
        seed: seed of weights and batches.
        repeats: how many trainings with seeds of their own; their metrics are averaged, the first
            one is reported.
        split: the option that seeds the division into training, validation and test rows, and its
            value, where it is not the configured one: ``["task.split_seed", 7]``.
        score: whether a training counts with its ``last`` epoch, or with the ``best`` one by the
            first objective.
        stage: ``probe`` (one batch: what is there), ``search`` (train, validate), ``confirm``
            (train, test).
        learning_rate_factor: factor on the optimiser's learning rate.
        activation_learning_rate_factor: factor on top of it for the learned parameters of
            activations.
        shares: shares of the training batches that it is trained on first, each time anew, before
            all of them.
        watch: what the baseline showed in its first steps; a training that shows that it will not
            learn is stopped.
        measures: names of measures of the trained model that are added to its metrics.
        example: whether the placement can be applied only with an input of the model at hand.
        force: place activations that a site's requirement refuses.
        include_gates: treat gates as sites.
        folder: where the trial writes files (weights, pictures); empty for none.
        pictures: whether the task draws its pictures.
        log: file for what the training prints, where it runs in a process of its own; empty drops
            it.
        threads: how many it computes with, where it runs in a process of its own and the user's
            environment leaves that open; 0 for the executor's number.
    """

    task: str
    config: dict[str, Any]
    objectives: list[str]
    mode: Literal["min", "max"] = "min"
    data: str = ""
    model: str = ""
    placement: dict[str, Any] | None = None
    seed: int = 0
    repeats: int = 1
    split: tuple[str, int] | None = None
    score: Score = "last"
    stage: Stage = "search"
    learning_rate_factor: float = 1.0
    activation_learning_rate_factor: float = 1.0
    shares: list[float] = field(default_factory=list)
    watch: dict[str, Any] | None = None
    measures: list[str] = field(default_factory=list)
    example: bool = True
    force: bool = False
    include_gates: bool = False
    folder: str = ""
    pictures: bool = False
    log: str = ""
    threads: int = 0


@dataclass(frozen=True)
class Outcome(_Data):
    """What came of one training.

    Args:
        state: how it ended.
        reason: why it failed or was pruned; one of ``diverged``, ``out_of_memory``, ``timeout``,
            ``error``, ... and a text.
        metrics: the last value of every logged metric.
        history: (epoch, metrics) after each validation.
        rows: by metric, its value at each row of the test split, where the training tells them.
        seconds: wall time of the training alone.
        cpu: processor time of all that was done, by this process and what it started, in seconds.
        first_steps: first losses and norm of the first gradient.
        probe: what the probe stage saw: sites, parameters, metrics' names.
    """

    state: State
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    rows: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    cpu: float = 0.0
    first_steps: dict[str, Any] = field(default_factory=dict)
    probe: dict[str, Any] = field(default_factory=dict)
