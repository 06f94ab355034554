"""What goes between the coordinator and a training: a job in, a result out, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any, Literal, Self

from pydantic import BaseModel, TypeAdapter

from actsearch.placement import FoundSite, Placement, Sites
from actsearch.search.training.origin import Origin

JobKind = Literal["inspect", "search", "confirm"]
State = Literal["complete", "pruned", "failed"]
Score = Literal["last", "best"]
Report = Callable[[int, dict[str, float]], bool]
"""Called by a training after each epoch with the epoch and its metrics.

Answers whether to stop (prune).
"""

WEIGHTS = "weights.safetensors"
"""Name of the file in a training's folder that has the model's weights."""

REDUCTION = 3
"""Each further training of a trial takes so many times as much.

Of the trials, as large a fraction goes on (successive halving).
"""


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


class _Data:
    """Plain data that travels as JSON."""

    def dumps(self) -> str:
        """Return the data as JSON."""
        data = asdict(self)  # type: ignore[call-overload]  # every subclass is a dataclass
        return json.dumps(data, allow_nan=True, default=_plain)

    @classmethod
    def loads(cls, text: str | bytes) -> Self:
        """Read the data from JSON; what it has beyond the fields is left out."""
        adapter: TypeAdapter[Self] = _adapter(cls)  # type: ignore[arg-type,unused-ignore]  # a class can be hashed
        return adapter.validate_python(json.loads(text))


def _plain(thing: BaseModel) -> Any:
    return thing.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class LossCurve:
    """What a training shows in its first steps.

    Args:
        losses: of each step.
        gradient: norm of the first gradient; ``None`` where nobody saw it.
    """

    losses: list[float] = field(default_factory=list)
    gradient: float | None = None


SMALL = 100_000
"""Parameters, and elements at the sites in one batch, up to which one thread trains as fast as two.

Measured on multilayer perceptrons and small convolutional networks.
"""

TINY_MODEL = 15_000
"""The same for four seeds as one network.

Measured on nine small networks: 1.7 to 2.4 times one seed below, 2.3 to 3.4 times above.
"""


@dataclass(frozen=True)
class ModelInfo(_Data):
    """What is seen in a model before anything is searched.

    Args:
        sites: where activations may stand.
        method: how they were found: ``fx``, ``function mode`` or ``modules``.
        missed: what looks like an activation and is none that can be changed, and why.
        ranges: by site, the smallest and largest input in one batch, widened, and whether one is 0.
        parameters: of the model.
        elements: at the sites, in one batch of training.
        max_epochs: of the trainer, where it has such a limit.
        batches: of an epoch, where the loader tells.
        has_test: whether there is a test step.
        restores_best: whether the trainer's callbacks keep the weights of the best epoch.
        notes: what could not be seen, and why.
        origin: the code, the data and the versions behind it.
        one_by_one: why seeds cannot be trained as one network; empty where they can.
        measured: what the study is judged by that is measured and not logged; by default what
            could be, before a study noted it.
    """

    sites: list[FoundSite]
    method: str
    missed: list[tuple[str, str]] = field(default_factory=list)
    ranges: dict[str, tuple[float, float, bool]] = field(default_factory=dict)
    parameters: int = 0
    elements: int | None = None
    max_epochs: int | None = None
    batches: int | None = None
    has_test: bool = False
    restores_best: bool = False
    notes: list[str] = field(default_factory=list)
    origin: Origin = field(default_factory=Origin)
    one_by_one: str = "nobody has looked"
    measured: list[str] = field(default_factory=lambda: ["latency", "peak_memory", "parameters"])

    @property
    def small(self) -> bool:
        """Whether a second thread would cost a step more than it gives."""
        return self._is_within(SMALL)

    @property
    def tiny(self) -> bool:
        """Whether four seeds as one network cost at most about two alone."""
        return self._is_within(TINY_MODEL)

    def _is_within(self, size: int) -> bool:
        return self.elements is not None and max(self.elements, self.parameters) <= size

    @property
    def found(self) -> Sites:
        """The sites, as :func:`actsearch.find_sites` returns them."""
        return Sites(self.sites, self.method, self.missed)


@dataclass(frozen=True)
class Job(_Data):
    """One training: everything that it needs, wherever it runs.

    Args:
        task: a built-in task's name, or the dotted path of a LightningModule or of a training
            function.
        config: options by part: ``task``, ``data``, ``trainer``.
        objectives: names of the logged metrics that it is judged by; where the model is
            inspected, of those that may be measures.
        mode: the better direction of the first one.
        data: the dotted path of a LightningDataModule, or empty where the module has its own data.
        model: the dotted path of what builds the model for a training function; empty where the
            task is a module.
        placement: what stands where, or ``None`` for the model's own activations.
        seed: seed of weights and batches.
        repeats: how many trainings with seeds of their own; their metrics are averaged. As one
            network they report their mean, else the first one reports.
        further: jobs that are trained as one network with this one, each with a result of its own;
            they differ in seed, split, learning rate, placement and folder alone.
        stacked: whether repeated trainings, too, are tried as one network.
        split: the option that seeds the division into training, validation and test rows, and its
            value, where it is not the configured one: ``("task.split_seed", 7)``.
        score: whether a training counts with its ``last`` epoch, or with the ``best`` one by the
            first objective.
        kind: ``inspect`` (one batch: what is there), ``search`` (train, validate), ``confirm``
            (train, test).
        learning_rate_factor: factor on the optimiser's learning rate.
        data_fractions: of the training batches that it is trained on first, each time anew, before
            all of them.
        baseline: what the baseline showed in its first steps; a training that shows that it will
            not learn is stopped.
        measures: measures of the trained model that are added to its metrics, by name or dotted
            path, with their options.
        measure_every: epochs after which those of the end are computed while training as well; 0
            for never.
        example: whether the placement can be applied only with an input of the model at hand.
        force: place activations that a site's requirement refuses.
        include_gates: treat gates as sites.
        folder: where the training writes files (weights, pictures); empty for none.
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
    placement: Placement | None = None
    seed: int = 0
    repeats: int = 1
    further: list[Job] = field(default_factory=list)
    stacked: bool = False
    split: tuple[str, int] | None = None
    score: Score = "last"
    kind: JobKind = "search"
    learning_rate_factor: float = 1.0
    data_fractions: list[float] = field(default_factory=list)
    baseline: LossCurve | None = None
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    measure_every: int = 0
    example: bool = True
    force: bool = False
    include_gates: bool = False
    folder: str = ""
    pictures: bool = False
    log: str = ""
    threads: int = 0

    @property
    def paths(self) -> tuple[str, ...]:
        """The names and dotted paths of all that it is made of, which a user may have given."""
        return (self.task, self.data, self.model, *self.measures)


@dataclass(frozen=True)
class Result(_Data):
    """What came of a job.

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
        model_info: what was seen in the model, where that was the job.
        spared: whether it needed no training: refused, or equal to an earlier one.
        violated: the bounds that it breaks, and by how much.
        one_by_one: why several seeds were not trained as one network.
        spread: of several seeds, the standard deviation of each metric.
        curves: of several seeds, by metric that it is judged by, each one's values after the epochs
            of the history.
        further: what came of the trainings beside this one; nothing where they have to run one by
            one.
    """

    state: State
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    rows: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    cpu: float = 0.0
    first_steps: LossCurve = field(default_factory=LossCurve)
    model_info: ModelInfo | None = None
    spared: bool = False
    violated: list[str] = field(default_factory=list)
    one_by_one: str = ""
    spread: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    further: list[Result] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return what a study keeps of it, beside the state that Optuna has."""
        data = asdict(self)
        return {
            key: data[key] for key in data if key not in ("state", "rows", "model_info", "further")
        }

    @classmethod
    def recorded(cls, state: State, data: Mapping[str, Any]) -> Self:
        """Return a result from what a study keeps of it, earlier versions' records included."""
        known = {one.name for one in fields(cls)} & set(data)
        steps = data.get("first_steps") or {}
        given = {key: data[key] for key in known} | {"first_steps": LossCurve(**steps)}
        given["history"] = [(step, metrics) for step, metrics in data.get("history", ())]
        return cls(state, **given)
