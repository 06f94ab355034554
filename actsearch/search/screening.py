"""What need not be trained: functions that cannot be, and placements whose outcome is known."""

from __future__ import annotations

from collections.abc import Hashable

from optuna.trial import FrozenTrial, TrialState

from actsearch.activations.equivalence import fingerprint
from actsearch.placement import Placement
from actsearch.placement.placement import SiteEntry
from actsearch.search.elementwise import check_function
from actsearch.search.gate import UNKNOWN_RANGE
from actsearch.search.study import StudyRun


class Screening:
    """The coordinator's part of the gate: what can be told of a placement without its network.

    Args:
        run: the open study; the ranges that its sites see were measured by its probe.
    """

    def __init__(self, run: StudyRun) -> None:
        self.run = run
        self._verdicts: dict[Hashable, str] = {}
        self._keys: dict[str, str] = {}
        self._taken: dict[Hashable, int] = {}
        for trial in run.trials:
            if not run.is_baseline(trial) and trial.state != TrialState.WAITING:
                self._taken.setdefault(self._functions(trial.number, run.placement(trial)), trial.number)

    def twin(self, number: int) -> FrozenTrial | None:
        """Return a completed trial of the same parameters: with the same seed this one would end the same."""
        *earlier, this = self.run.trials[: number + 1]
        factor = self.run.factor(this)
        return next(
            (
                trial
                for trial in earlier
                if this.params
                and trial.state == TrialState.COMPLETE
                and trial.params == this.params
                and self.run.factor(trial) == factor
            ),
            None,
        )

    def refusal(self, number: int, placement: Placement | None) -> str:
        """Return why a placement is not worth a training: a function that is not finite or constant, or an equal one."""
        if placement is None:
            return ""
        for site, entry in placement.sites.items():
            low, high, zero = self.run.probe.get("ranges", {}).get(site, (*UNKNOWN_RANGE, True))
            key = (self._text(entry), round(low, 1), round(high, 1), zero)
            if key not in self._verdicts:
                self._verdicts[key] = check_function(entry.build(channels=1).plain(), low, high, zero=zero).reason
            if self._verdicts[key]:
                return f"{entry.activation} at {site}: {self._verdicts[key]}"
        functions = self._functions(number, placement)
        same = self._taken.setdefault(functions, number)
        if same == number or self.run.trials[same].state == TrialState.FAIL:  # which may have failed by bad luck
            self._taken[functions] = number
            return ""
        return f"duplicate: the same functions as trial {same}"

    def _functions(self, number: int, placement: Placement | None) -> Hashable:
        """Return a key that placements of equal functions share; a learned parameter is told by where it starts."""
        entries = placement.sites if placement else {}
        return self.run.factor(self.run.trials[number]), tuple(
            (site, self._key(entry)) for site, entry in entries.items()
        )

    def _key(self, entry: SiteEntry) -> str:
        text = self._text(entry)
        if text not in self._keys:
            built = entry.build(channels=1)
            self._keys[text] = text if list(built.parameters()) else fingerprint(built)
        return self._keys[text]

    @staticmethod
    def _text(entry: SiteEntry) -> str:
        return entry.model_dump_json(exclude={"channels", "channel_dim"})
