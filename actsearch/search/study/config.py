"""What makes a study the study that it is: everything that decides its numbers, so that it is never resumed as another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from actsearch.errors import InvalidValueError, StudyError
from actsearch.measures.model import MODEL_MEASURES
from actsearch.search.study.constraints import Bound
from actsearch.search.training.job import REDUCTION, Specification, Stage
from actsearch.task.task import Mode

ATTRIBUTE = "actsearch.plan"
LEARNING_RATE = "learning_rate_factor"
"""Name of the parameter of a trial that is a factor on the task's own learning rate."""

LearningRate = Literal["tuned", "searched", "fixed"]
Fidelity = Literal["epochs", "data", "both"]


@dataclass(frozen=True)
class Objective:
    """A logged metric and the direction that is better.

    Args:
        metric: its name.
        mode: ``"min"`` or ``"max"``.
    """

    metric: str
    mode: Mode

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``val_accuracy:max``.

        Raises:
            InvalidValueError: not of that form.
        """
        metric, _, mode = text.rpartition(":")
        if mode not in ("min", "max") or not metric:
            raise InvalidValueError(
                f"an objective must read METRIC:min or METRIC:max, but got {text!r}."
            )
        return cls(metric, "min" if mode == "min" else "max")

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Optuna's word."""
        return "minimize" if self.mode == "min" else "maximize"

    def better(self, a: float, b: float) -> bool:
        """Whether ``a`` beats ``b``."""
        return a < b if self.mode == "min" else a > b


@dataclass(frozen=True)
class Plan:
    """The plan of a study.

    Args:
        task: name or dotted path of what is trained.
        data: dotted path of its data module, or empty.
        model: dotted path of what builds the model of a training function, or empty.
        config: its complete options.
        space: name or path that the search space was read from.
        space_content: the search space itself.
        objectives: what it is judged by; the first one is reported to the pruner.
        test_metric: what a confirmation scores.
        sampler: name of the sampler.
        pruner: name of the pruner.
        fidelity: what the pruner judges by: ``epochs``; ``data``, trainings on a ninth and a third
            of the batches before the whole one; or ``both``.
        learning_rate: a factor on the task's own: ``tuned`` for the baseline in the first trials,
            and the same for all; ``searched`` in every trial with the activations; or ``fixed`` to
            1.
        learn_from: names of studies in the same store whose activations the sampler learns from.
        experience: whether the sampler begins with what the package knows of other problems.
        score: whether a training counts with its ``last`` epoch or its ``best``; where empty, with
            the best where the module keeps the weights of its best epoch.
        split_option: the option that seeds the division of the data into its splits, such as
            ``task.split_seed``; empty where there is none.
        seed: seed of the search and of every training in it.
        require: requirement that every activation must meet, beside the site's own.
        bounds: bounds on metrics of the model.
        options: further options of every trial, as :class:`Specification` has them.
    """

    task: str
    config: dict[str, Any]
    space: str
    space_content: dict[str, Any]
    objectives: tuple[Objective, ...]
    test_metric: str
    data: str = ""
    model: str = ""
    sampler: str = "function_space"
    pruner: str = "median"
    fidelity: Fidelity = "epochs"
    learning_rate: LearningRate = "tuned"
    learn_from: tuple[str, ...] = ()
    experience: bool = True
    score: Literal["last", "best", ""] = ""
    split_option: str = ""
    seed: int = 0
    require: str = ""
    bounds: tuple[Bound, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def specification(
        self, placement: dict[str, Any] | None, stage: Stage = "search", **changes: Any
    ) -> Specification:
        """Return one training of this plan."""
        names = dict.fromkeys(
            [o.metric for o in self.objectives] + [bound.metric for bound in self.bounds]
        )
        logged = [name for name in names if name not in MODEL_MEASURES]
        measures = [name for name in names if name in MODEL_MEASURES]
        given = {
            "seed": self.seed,
            "measures": measures,
            "score": self.score or "last",
            **self.options,
            **changes,
        }
        return Specification(
            self.task,
            self.config,
            logged,
            self.objectives[0].mode,
            self.data,
            self.model,
            placement,
            stage=stage,
            **given,
        )

    @property
    def shares(self) -> list[float]:
        """Shares of the training batches that a trial is trained on before all of them."""
        return [] if self.fidelity == "epochs" else [REDUCTION**-2, REDUCTION**-1]

    @property
    def whole(self) -> int:
        """The step of the pruner at which a training on all batches begins.

        Each share has its own step before.
        """
        return REDUCTION ** len(self.shares) if self.shares else 0

    def dumps(self) -> str:
        """Return the plan as JSON."""
        return json.dumps(asdict(self))  # in order: the order of choices is part of the study

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read a plan from JSON."""
        data = json.loads(text)
        return cls(
            **{
                **data,
                "objectives": tuple(Objective(**o) for o in data["objectives"]),
                "learn_from": tuple(data["learn_from"]),
                "bounds": tuple(Bound(**b) for b in data["bounds"]),
            }
        )

    def check_same(self, stored: Self, study: str) -> None:
        """Raise where a study was made under another plan, with the difference and the ways on.

        Raises:
            StudyError: the plans differ.
        """
        now, then = flat(json.loads(self.dumps())), flat(json.loads(stored.dumps()))
        changes = [
            f"{key}: {then.get(key)!r} then, {now.get(key)!r} now"
            for key in sorted(now | then)
            if now.get(key) != then.get(key)
        ]
        if changes:
            raise StudyError(
                f"study {study!r} was made under another plan"
                f" ({'; '.join(changes[:5])}{'; ...' if len(changes) > 5 else ''}). Repeat its own"
                " command, start a new one with --study NAME, or carry its best over with --study"
                f" NAME --warm-start {study}."
            )


def flat(data: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings and lists as one mapping of dotted keys."""
    if isinstance(data, Mapping) and data:
        return {
            k: v for key, value in data.items() for k, v in flat(value, f"{prefix}{key}.").items()
        }
    return {prefix.rstrip("."): data}
