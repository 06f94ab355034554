"""What need not be trained: functions that cannot be, and placements whose result is known."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property

from optuna.trial import FixedTrial, FrozenTrial, TrialState

from actsearch.activations.expression.equivalence import fingerprint, mirrored_fingerprint
from actsearch.activations.trainability import check_function
from actsearch.placement import Placement
from actsearch.placement.placement import SiteEntry
from actsearch.search.study.record import StudyRun, phase_of, result_of
from actsearch.search.training.job import Result
from actsearch.search.training.site_ranges import UNKNOWN_RANGE


class Screening:
    """What can be told of a placement without training its network.

    Args:
        run: the open study; the ranges that its sites see were measured on its model.
    """

    def __init__(self, run: StudyRun) -> None:
        self.run = run
        self._verdicts: dict[Hashable, str] = {}
        self._keys: dict[tuple[str, bool], str] = {}
        # What must have a property may be what the model puts out: there the sign matters.
        self._bound = {site.name for site in run.model_info.found if site.requires}
        self._taken: dict[Hashable, int] = {}
        for trial in run.trials:
            if not run.is_baseline(trial) and trial.state != TrialState.WAITING:
                self._taken.setdefault(
                    self._functions(trial.number, run.placement(trial)), trial.number
                )

    def known(self, number: int, placement: Placement | None) -> Result | None:
        """Return what a placement comes to without a training, or ``None`` where that is not known.

        It is refused, or comes to what an earlier one of the same functions did. A search has one
        seed, so the same placement would end the same; and φ(x), -φ(x), φ(-x) and -φ(-x) are one
        function to a network whose weights may have either sign.
        """
        if placement is None:
            return None
        if reason := self._refusal(placement):
            return Result("pruned", f"refused: {reason}", spared=True)
        functions = self._functions(number, placement)
        earlier = self._baseline(functions)
        if earlier is None:
            earlier = self.run.trials[self._taken.setdefault(functions, number)]
        told = earlier.number != number and earlier.state.is_finished()
        if not told or earlier.state == TrialState.FAIL:
            self._taken[functions] = number  # one that failed may have done so by bad luck
            return None
        result = result_of(earlier)
        reason = f"the same functions as trial {earlier.number}"
        reason += f": {result.reason}" if result.state == "pruned" else ", not trained again"
        return Result(result.state, reason, result.metrics, result.history, spared=True)

    @cached_property
    def _own(self) -> Hashable | None:
        """The key of the model's own functions; ``None`` where the space has none of them."""
        own = self.run.own
        return None if own is None else self._entries(self.run.space.suggest(FixedTrial(own)))

    def _baseline(self, functions: Hashable) -> FrozenTrial | None:
        """Return the baseline at the same learning rate, where a placement has its functions."""
        if self._own is None:
            return None
        trained = (
            t for t in self.run.trials if phase_of(t) == "baseline" and t.state.is_finished()
        )
        return next((t for t in trained if functions == (self.run.factor(t), self._own)), None)

    def _refusal(self, placement: Placement) -> str:
        """Return why a placement is not worth a training: a function not finite, or constant."""
        for site, entry in placement.sites.items():
            low, high, zero = self.run.model_info.ranges.get(site, (*UNKNOWN_RANGE, True))
            key = (self._text(entry), round(low, 1), round(high, 1), zero)
            if key not in self._verdicts:
                self._verdicts[key] = check_function(
                    entry.build(channels=1).plain(), low, high, zero=zero
                ).reason
            if self._verdicts[key]:
                return f"{entry.activation} at {site}: {self._verdicts[key]}"
        return ""

    def _functions(self, number: int, placement: Placement | None) -> Hashable:
        """Return a key that placements of equal functions share.

        A learned parameter is told by where it starts.
        """
        return self.run.factor(self.run.trials[number]), self._entries(placement)

    def _entries(self, placement: Placement | None) -> Hashable:
        entries = placement.sites if placement else {}
        return tuple(
            (site, self._key(entry, site in self._bound)) for site, entry in entries.items()
        )

    def _key(self, entry: SiteEntry, bound: bool) -> Hashable:
        key = (self._text(entry), bound)
        if key not in self._keys:
            built = entry.build(channels=1)
            same = fingerprint if bound else mirrored_fingerprint
            self._keys[key] = key[0] if list(built.parameters()) else same(built)
        return self._keys[key]

    @staticmethod
    def _text(entry: SiteEntry) -> str:
        return entry.model_dump_json(exclude={"channels", "channel_dim"})
