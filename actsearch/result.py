"""What a search hands back: the placement, what was found out about it, and where it all is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial
from rich.console import Console

from actsearch.markup import html_lines, html_table
from actsearch.placement import Placement
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.config import LEARNING_RATE
from actsearch.search.study.placement_file import placement_file
from actsearch.search.study.record import StudyRun, phase_of, result_of
from actsearch.tracking.ending import ending
from actsearch.tracking.words import placed

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]  # stubs are a package apart


@dataclass(frozen=True, repr=False)
class SearchResult:
    """What a search found.

    In a notebook it shows itself as a table, and :meth:`show` its pictures.

    Args:
        study: name of the study.
        best: the winner's placement where the confirmation found one, else the candidate's, of
            which ``apply`` warns.
        baseline: values of the baseline, one for each objective.
        trials: Optuna's record of every trial.
        confirmation: the paired comparison, where there was one.
        folder: the study's files.
        verdict: ``better``, ``worse`` or ``no difference found``, or ``not confirmed``.
        advice: what to do with it, in words: the lines to reuse a winner, or what to keep and how
            to look further.
        metrics: names of the objectives.
    """

    study: str
    best: Placement
    baseline: list[float]
    trials: list[FrozenTrial]
    confirmation: Confirmation | None
    folder: Path
    verdict: str = "not confirmed"
    advice: str = ""
    metrics: tuple[str, ...] = ()

    def to_pandas(self) -> DataFrame:
        """Return one row a trial: what stood where, and what came of it.

        The columns are ``phase``, ``state``, ``reason``, one for each objective, ``seconds``,
        ``cpu``, ``learning_rate_factor``, and one for each site with its activation, which is empty
        where the model's own stood.
        """
        from pandas import DataFrame, Index

        rows = [self._row(trial) for trial in self.trials]
        return DataFrame(rows, index=Index([trial.number for trial in self.trials], name="trial"))

    def _row(self, trial: FrozenTrial) -> dict[str, Any]:
        result, data = result_of(trial), trial.user_attrs.get("placement")
        sites = Placement.model_validate(data).sites if data else {}
        return {
            "phase": phase_of(trial),
            "state": trial.state.name.lower(),
            "reason": result.reason,
            **dict(zip(self.metrics, trial.values or [None] * len(self.metrics), strict=True)),
            "seconds": result.seconds,
            "cpu": result.cpu,
            LEARNING_RATE: trial.user_attrs.get(LEARNING_RATE, 1.0),
            **{site: entry.activation for site, entry in sites.items()},
        }

    def show(self) -> None:
        """Show the pictures in a notebook; elsewhere print where they are."""
        pictures = sorted((self.folder / "report").glob("*.png"))
        if Console().is_jupyter:
            from IPython.display import Image, display

            for path in pictures:
                display(Image(path, width=720))
        else:
            for path in pictures:
                print(path)  # noqa: T201  # that is what it is asked for

    def __repr__(self) -> str:
        head = f"SearchResult(study={self.study!r}, verdict={self.verdict!r})"
        return "\n".join([head, *(f"  {name}: {value}" for name, value in self._facts())])

    def _repr_html_(self) -> str:
        facts = html_table(("", ""), self._facts(), f"{self.study}: {self.verdict}")
        return facts + html_lines(self.advice)

    def _facts(self) -> list[tuple[str, str]]:
        """Return the result in a few lines."""
        states = Counter(trial.state.name.lower() for trial in self.trials)
        goals = zip(self.metrics, self.baseline, strict=False)
        facts = [
            ("best", placed(self.best) if self.best.sites else "nothing"),
            ("baseline", ", ".join(f"{name} {value:.4g}" for name, value in goals) or "none"),
            ("trials", ", ".join(f"{count} {state}" for state, count in states.items())),
        ]
        if self.confirmation is not None and self.confirmation.comparisons:
            facts.append(("confirmation", self.confirmation.verdict()))
        return [*facts, ("report", str(self.folder / "report" / "report.html"))]


def search_result(run: StudyRun, confirmation: Confirmation | None) -> SearchResult:
    """Return what a study has found."""
    file = placement_file(run)
    confirmed = confirmation or Confirmation.read(run)
    return SearchResult(
        run.name,
        Placement(sites={}) if file is None else Placement.load(file),
        list(run.baseline.values) if run.baseline else [],
        run.trials,
        confirmation,
        run.folder,
        confirmed.outcome if confirmed is not None and confirmed.comparisons else "not confirmed",
        ending(run),
        tuple(objective.metric for objective in run.config.goals),
    )
