"""What a confirmation has measured, its file, and its verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from actsearch.errors import StudyError
from actsearch.markup import html_lines, html_table
from actsearch.search.confirm.racing import BASELINE, Comparison, Verdict
from actsearch.search.study.kept_files import CONFIRMATION, keep_file
from actsearch.search.study.record import StudyRun

UNTOUCHED = "untouched"
"""The arm of the model as it is, at its own learning rate.

An arm at that rate has ``@own`` behind its name.
"""

_UNKNOWN = {"gain": math.nan, "low": -math.inf, "high": math.inf}
"""What ``null`` stands for in the file: JSON has no number for these."""


@dataclass(repr=False)
class Confirmation:
    """What a confirmation has measured.

    Args:
        metric: the metric that is scored.
        mode: the direction that is better.
        split: ``test``, or ``validation`` where the module has no test split (the search has seen
            that one).
        seeds: the seeds that compare the selected candidate with the baseline.
        candidates: numbers of the trials that are confirmed, the best by the search first.
        scores: by arm and seed (``"3:1234"``), the score; ``None`` where the training failed. Those
            of earlier calls stay, to be used again.
        failures: by arm and seed, why a training has no score.
        comparisons: one for each candidate, once the race has ended; without pairs for those that
            were not selected.
        selection: the seeds that selected the candidate; the baseline was not trained with these.
        given: for each candidate, how many seeds it was trained with, once the race has ended.
        budget: the most trainings the race may take.
        looks: how many verdicts on this study there are with this one.
        split_option: the option by which each seed has a split of its own; empty where all share
            the study's.
        factors: by arm, the factor on the learning rate.
        over_untouched: the selected candidate against the model as it is; ``None`` where that is
            the baseline.
        at_own_rate: the winner at the model's own learning rate, against the model as it is;
            ``None`` where that is what was compared, or there is no winner.
        cpu: processor time of all trainings of the confirmation, in seconds.
        rate: the baseline against the model as it is: what its tuned learning rate brings; ``None``
            where it is the same.
    """

    metric: str
    mode: str
    split: str
    seeds: list[int]
    candidates: list[int]
    scores: dict[str, float | None] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    selection: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    budget: int = 0
    looks: int = 1
    split_option: str = ""
    factors: dict[str, float] = field(default_factory=dict)
    over_untouched: Comparison | None = None
    at_own_rate: Comparison | None = None
    rate: Comparison | None = None
    cpu: float = 0.0

    @classmethod
    def read(cls, run: StudyRun) -> Self | None:
        """Return a study's confirmation, or ``None`` where there is none yet.

        Raises:
            StudyError: the file is damaged.
        """
        path = run.folder / CONFIRMATION
        if not path.exists():
            return None
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            data["comparisons"] = [_comparison(one) for one in data["comparisons"]]
            for key in ("over_untouched", "at_own_rate", "rate"):
                data[key] = _comparison(data[key]) if data.get(key) else None
            return cls(**data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StudyError(
                f"{path} must be what a confirmation wrote, but cannot be read: {error}. Move it"
                " away; actsearch confirm measures anew."
            ) from None

    def write(self, run: StudyRun) -> None:
        """Keep what has been measured so far."""
        data = asdict(self)
        for one in (
            *data["comparisons"],
            data["over_untouched"],
            data["at_own_rate"],
            data["rate"],
        ):
            if one is not None:
                one.update({key: None for key in _UNKNOWN if not math.isfinite(one[key])})
        keep_file(run, CONFIRMATION, json.dumps(data, indent=1, allow_nan=False) + "\n")

    def __repr__(self) -> str:
        measured = sum(score is not None for score in self.scores.values())
        told = self.verdict() if self.comparisons else f"{measured} trainings, not ended"
        return f"Confirmation of {self.metric} on the {self.split} split: {told}"

    def _repr_html_(self) -> str:
        table = html_table(*confirmation_rows(self)) if self.comparisons else ""
        return html_lines(repr(self)) + table

    def score(self, arm: int | str, seed: int) -> float:
        """Return a score, NaN where there is none."""
        value = self.scores.get(f"{arm}:{seed}")
        return math.nan if value is None else value

    def differences(self, arm: int | str, other: int | str = BASELINE) -> list[float]:
        """Return the paired differences of two arms, positive where the first is better."""
        sign = 1 if self.mode == "max" else -1
        return [sign * (self.score(arm, seed) - self.score(other, seed)) for seed in self.seeds]

    @property
    def winner(self) -> tuple[int, Comparison]:
        """The candidate that was selected, and its comparison."""
        return max(
            zip(self.candidates, self.comparisons, strict=True),
            key=lambda c: c[1].gain if c[1].pairs else -math.inf,
        )

    @property
    def confidence(self) -> float:
        """Of the intervals, in percent: 95, or more where earlier verdicts are corrected for."""
        return 100 * (1 - 0.05 / 2.0 ** (self.looks - 1))

    @property
    def outcome(self) -> Verdict:
        """Whether there is a winner: better than the tuned baseline, and than the model as it is.

        Each of the two comparisons has its full level, since both must find it.
        """
        verdict = self.winner[1].verdict
        if (
            verdict == "better"
            and self.over_untouched is not None
            and self.over_untouched.verdict != "better"
        ):
            return "no difference found"
        return verdict

    def verdict(self) -> str:
        """Return the result in one sentence, as plainly as it is."""
        number, c = self.winner
        tuned = self.over_untouched is not None
        beside = "the baseline at its tuned learning rate" if tuned else "the baseline"
        how = [
            figures(self.metric, c),
            f"{c.pairs} paired seeds{', each with a split of its own' * bool(self.split_option)}",
        ]
        if not self.split_option:
            how.append(
                "on this split" + (f", with its {c.rows} rows in the interval" if c.rows else "")
            )
        if self.failures:
            how.append(f"{len(self.failures)} trainings failed")
        if self.selection:
            how.append(
                f"selected from {len(self.candidates)} candidates on {len(self.selection)} other"
                " seeds"
            )
        if self.looks > 1:
            how.append(f"corrected for {self.looks} verdicts on this study")
        text = ", ".join(how)
        if self.over_untouched is not None:
            text += f"; against the model as it is {figures(self.metric, self.over_untouched)}"
        match self.outcome:
            case "better":
                return f"trial {number} is better than {beside}: {text}."
            case "worse":
                return f"worse than {beside}: the best candidate, trial {number}, has {text}."
        return f"no difference found from {beside}: the best candidate, trial {number}, has {text}."


def figures(metric: str, c: Comparison) -> str:
    """Return a comparison's figures in words."""
    return f"{metric} {c.gain:+.4f}, 95 % interval [{c.low:+.4f}, {c.high:+.4f}], p = {c.p:.2g}"


def confirmation_rows(result: Confirmation) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a confirmation."""
    baseline = "baseline" if result.over_untouched is None else "baseline, rate tuned"
    lines = [[baseline, _mean(result, BASELINE), "", "", "", ""]]
    for index, (number, c) in enumerate(zip(result.candidates, result.comparisons, strict=True)):
        if c.pairs:
            lines.append([str(number), _mean(result, number), *_cells(c)])
        else:
            lines.append(
                [str(number), "", "", "", "", f"dropped after {result.given[index]} seeds"]
            )
    number = result.winner[0]
    if result.over_untouched is not None and result.rate is not None:
        lines.append(["the model as it is", _mean(result, UNTOUCHED), "", "", "", ""])
        for arm, c in ((number, result.over_untouched), (BASELINE, result.rate)):
            label = str(arm) if arm else baseline
            lines.append([f"{label} over that", "", *_cells(c)])
    if (alone := result.at_own_rate) is not None:
        label = f"{number}, own rate, over that"
        lines.append([label, _mean(result, f"{number}@own"), *_cells(alone)])
    interval = f"{result.confidence:g} % interval"
    return ["trial", result.metric, "gain", interval, "p", ""], lines


def _cells(c: Comparison) -> list[str]:
    return [f"{c.gain:+.4f}", f"[{c.low:+.4f}, {c.high:+.4f}]", f"{c.p:.2g}", c.verdict]


def _mean(result: Confirmation, arm: int | str) -> str:
    scores = [s for seed in result.seeds if (s := result.scores.get(f"{arm}:{seed}")) is not None]
    return f"{sum(scores) / len(scores):.4f}" if scores else "nan"


def _comparison(data: Mapping[str, Any]) -> Comparison:
    return Comparison(
        **{**data, **{key: value for key, value in _UNKNOWN.items() if data[key] is None}}
    )
