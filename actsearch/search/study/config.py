"""The options of a study that decide its numbers.

The command reads them, Python is given them, and the store keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import TypeAdapter, ValidationError

from actsearch.errors import InvalidValueError, StudyError
from actsearch.measures import Measure, find
from actsearch.placement import Placement
from actsearch.placement.files import explain
from actsearch.search.space.search_space import Granularity, SearchSpace
from actsearch.search.study.constraints import Bound, split
from actsearch.search.study.metric_names import direction_of
from actsearch.search.study.trials import ATTRIBUTE as ATTRIBUTE
from actsearch.search.training import given
from actsearch.search.training.job import REDUCTION, Job, JobKind, ModelInfo, Score
from actsearch.task.task import Mode

SEEDS = 4
"""Seeds of a trial where they train as one network for about the price of two."""

LEARNING_RATE = "learning_rate_factor"
"""Name of the parameter of a trial that is a factor on the task's own learning rate."""


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
        """Read ``val_accuracy:max``, or a name that tells its direction.

        Raises:
            InvalidValueError: not of that form.
        """
        metric, _, mode = text.rpartition(":")
        if not metric:
            return cls(text, direction_of(text))
        if mode not in ("min", "max"):
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
class StudyConfig:
    """What decides the numbers of a study, so that it is never resumed as another.

    Args:
        task: name or dotted path of what is trained.
        data: dotted path of its data module, or empty.
        model: dotted path of what builds the model of a training function, or empty.
        config: its options, and the trainer's: ``{"task.hidden": 128, "trainer.max_epochs": 20}``.
        space: a search space by name or file (default: the task's own, else general).
        granularity: one choice for what; ``staged`` is all three in turn (default: the space's).
        monitor: the logged metric to optimise (default: the task's own, else ``val_loss``).
        mode: its better direction (default: told by its name).
        objectives: one or several, a list: ``METRIC:min``, ``METRIC:max``, or a name that tells its
            direction, such as a measure's; the first one is reported to the pruner.
        require: what must hold, a list: facts of every activation (``derivative_bound <= 1``), or
            ``METRIC <= NUMBER`` of the trained model.
        measures: measures of the trained model to add to its metrics, a list; with options as
            ``{"certified_accuracy": {"radius": 0.1}}``, or ``--measure.certified_accuracy.radius``.
        measure_every: epochs after which a LightningModule's measures are computed while it trains,
            too; 0 (the default) for at the end alone.
        test_metric: the metric that a confirmation scores on the test split.
        sampler: ``function_space``, ``tpe``, ``random``, ``cmaes``, ``gp``, ``nsga2`` or ``qmc``.
        pruner: ``median``, ``asha``, ``hyperband`` or ``none``.
        fidelity: what the pruner judges by: ``epochs``; ``data``, trainings on a ninth and a third
            of the batches before the whole one; or ``both``.
        learning_rate: a factor on the task's own: ``tuned`` for the baseline in the first trials,
            and the same for all; ``searched`` in every trial with the activations; or ``fixed`` to
            1.
        learn_from: names of studies in the same store that the sampler learns from; a list.
        experience: whether ``function_space`` begins with what 800 functions did on other problems.
        score: the epoch a training counts with, ``last`` or ``best`` (default: the best where the
            module keeps the weights of its best epoch, else the last).
        split_option: the option that seeds the division of the data, so that a confirmation takes
            new ones (default: ``task.split_seed`` or ``data.split_seed``, where there is one).
        seeds_per_trial: trainings of each trial with seeds of their own, of which the mean counts
            (default: 4 where they train as one network at the price of about two, else 1).
        seed: seed of the search and of every training in it.
        force: place activations that a site's requirement refuses.
        include_gates: search gates as well.
        space_content: the search space itself.
    """

    task: str
    data: str = ""
    model: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    space: str = ""
    granularity: Literal[Granularity, ""] = ""
    monitor: str = ""
    mode: Literal[Mode, ""] = ""
    objectives: list[str] = field(default_factory=list)
    require: list[str] = field(default_factory=list)
    measures: list[str] | dict[str, dict[str, Any]] = field(default_factory=dict)
    measure_every: int = 0
    test_metric: str = ""
    sampler: Literal["function_space", "tpe", "random", "cmaes", "gp", "nsga2", "qmc"] = (
        "function_space"
    )
    pruner: Literal["median", "asha", "hyperband", "none"] = "median"
    fidelity: Literal["epochs", "data", "both"] = "epochs"
    learning_rate: Literal["tuned", "searched", "fixed"] = "tuned"
    learn_from: list[str] = field(default_factory=list)
    experience: bool = True
    score: Literal[Score, ""] = ""
    split_option: str = ""
    seeds_per_trial: int | None = None
    seed: int = 0
    force: bool = False
    include_gates: bool = False
    space_content: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Return the options by name, each checked against its type.

        Raises:
            InvalidValueError: a value that is not of its option's type.
        """
        try:
            config: Self = TypeAdapter(cls).validate_python(dict(options))
        except ValidationError as error:
            wrong = error.errors()[0]["input"]
            raise InvalidValueError(f"option {explain(error)}, but got {wrong!r}.") from None
        return config

    @cached_property
    def goals(self) -> tuple[Objective, ...]:
        """The objectives, the first one the pruner's."""
        return tuple(map(Objective.parse, self.objectives))

    @cached_property
    def search_space(self) -> SearchSpace:
        """The search space."""
        return SearchSpace.model_validate(self.space_content)

    @cached_property
    def requirement(self) -> str:
        """What every activation must meet, beside its site's own requirement."""
        return split(self.require)[0]

    @cached_property
    def bounds(self) -> list[Bound]:
        """Bounds on metrics of the trained model."""
        return split(self.require)[1]

    @property
    def data_fractions(self) -> list[float]:
        """Fractions of the training batches that a trial is trained on before all of them."""
        return [] if self.fidelity == "epochs" else [REDUCTION**-2, REDUCTION**-1]

    @property
    def first_full_step(self) -> int:
        """The step of the pruner at which a training on all batches begins.

        Each fraction of the data has its own step before.
        """
        return REDUCTION ** len(self.data_fractions) if self.data_fractions else 0

    def job(
        self,
        placement: Placement | None,
        kind: JobKind = "search",
        info: ModelInfo | None = None,
        **changes: Any,
    ) -> Job:
        """Return one training of this study.

        Args:
            placement: what stands where; ``None`` for the model's own activations.
            kind: of the job.
            info: what was seen in the model, where that is known.
            **changes: what this job has of its own.
        """
        names = dict.fromkeys([o.metric for o in self.goals] + [b.metric for b in self.bounds])
        measured = [name for name in names if info is not None and name in info.measured]
        own = {
            "seed": self.seed,
            "score": self.score or ("best" if info and info.restores_best else "last"),
            # An input is at hand where the sites can be found with one only.
            "example": info is None or info.method != "function mode",
            "threads": int(info is not None and info.small),
            "stacked": self._stacks(info),
            "force": self.force,
            "include_gates": self.include_gates,
        }
        return Job(
            task=self.task,
            data=self.data,
            model=self.model,
            config=self.config,
            objectives=[name for name in names if name not in measured],
            measures=self._measures(measured),
            measure_every=self.measure_every,
            mode=next((g.mode for g in self.goals if g.metric not in measured), self.goals[0].mode),
            placement=placement,
            kind=kind,
            **{**own, **changes},
        )

    def seeds_each(self, info: ModelInfo) -> int:
        """Return how many seeds a trial trains with."""
        return self.seeds_per_trial or (SEEDS if self._stacks(info) and info.tiny else 1)

    def _stacks(self, info: ModelInfo | None) -> bool:
        """Whether trainings with seeds of their own are tried as one network."""
        return info is not None and not info.one_by_one and not self.data_fractions

    def _measures(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the measures that were asked for, and those that judge under some names."""
        assert isinstance(self.measures, dict), "complete options have measures with their options"
        heads = [name.partition("/")[0] for name in names]
        own = {measure_class(path).name for path in self.measures}
        return {**self.measures, **{head: {} for head in heads if head not in own}}

    def dumps(self) -> str:
        """Return the options as JSON."""
        return json.dumps(asdict(self))  # in order: the order of choices is part of the study

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read the options from JSON, those of earlier versions included."""
        data = json.loads(text)
        if "bounds" in data:  # a version that kept objectives and requirements in parts
            data["objectives"] = [f"{o['metric']}:{o['mode']}" for o in data["objectives"]]
            bounds = [str(Bound(**bound)) for bound in data.pop("bounds")]
            data["require"] = [data["require"]] * bool(data["require"]) + bounds
            data |= data.pop("options")
        return cls.of(data)

    def check_same(self, stored: Self, study: str) -> None:
        """Raise where a study was made with other options, with the difference and the ways on.

        Raises:
            StudyError: the options differ.
        """
        now, then = flat(json.loads(self.dumps())), flat(json.loads(stored.dumps()))
        changes = [
            f"{key}: {then.get(key)!r} then, {now.get(key)!r} now"
            for key in sorted(now | then)
            if now.get(key) != then.get(key)
        ]
        if changes:
            more = "; ..." if len(changes) > 5 else ""
            raise StudyError(
                f"study {study!r} was made with other options ({'; '.join(changes[:5])}{more})."
                " Repeat its own command, start a new one with --study NAME, or carry its best over"
                f" with --study NAME --warm-start {study}."
            )


def measure_class(name: str) -> type[Measure]:
    """Return the measure of a name or dotted path, or one that was given in Python.

    Raises:
        ActsearchError: there is none.
    """
    own: type[Measure] | None = given.look_up(name)
    return own or find(name)


def flat(data: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping of dotted keys."""
    if not isinstance(data, Mapping) or not data:
        return {prefix.rstrip("."): data}
    parts = (flat(value, f"{prefix}{key}.") for key, value in data.items())
    return {key: value for part in parts for key, value in part.items()}
