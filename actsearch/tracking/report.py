"""What a person looks at: a summary in Markdown and pictures, written into the study's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from optuna.trial import TrialState

from actsearch.placement import Placement
from actsearch.placement.files import write_text
from actsearch.search.confirm.confirmation import UNTOUCHED, Confirmation
from actsearch.search.confirm.racing import BASELINE, Comparison
from actsearch.search.study.placement_file import placement_file
from actsearch.search.study.record import StudyRun, finished, result_of
from actsearch.tracking import ladder, pictures
from actsearch.tracking.ending import ending
from actsearch.tracking.words import short


def write_report(run: StudyRun) -> Path:
    """Write summary and pictures of a study, and return their folder."""
    folder = run.folder / "report"
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "summary.md", summary(run))
    pictures.history(run, folder / "history.png")
    pictures.heat_map(run, folder / "sites.png")
    pictures.importance(run, folder / "importance.png")
    if len(run.config.goals) > 1:
        pictures.pareto(run, folder / "pareto.png")
    if (file := placement_file(run)) is not None:
        pictures.curves(Placement.load(file), folder / "curves.png")
    confirmation = Confirmation.read(run)
    if confirmation is not None and confirmation.comparisons:
        pictures.confirmation(confirmation, folder / "confirmation.png")
    return folder


def best_rows(run: StudyRun, top: int = 10) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the best trials, the baseline among them.

    Of several seeds it is their mean ± the standard deviation over them.
    """
    names = [objective.metric for objective in run.config.goals]
    ranked = run.ranked()
    chosen = ranked[:top]
    baseline = run.baseline
    if baseline is not None and baseline not in chosen:
        chosen.append(baseline)
    lines = []
    for trial in chosen:
        label = "baseline" if trial is baseline else str(trial.number)
        result = result_of(trial)
        values = [
            f"{value:.4f}" + (f" ± {result.spread[name]:.4f}" if name in result.spread else "")
            for name, value in zip(names, trial.values, strict=True)
        ]
        lines.append([label, *values, f"{result.seconds:.1f}", short(run, trial)])
    return ["trial", *names, "seconds", "placement"], lines


def confirmation_rows(result: Confirmation) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a confirmation."""
    baseline = "baseline" if result.over_untouched is None else "baseline, rate tuned"
    lines = [[baseline, _mean(result, BASELINE), "", "", "", ""]]
    for index, (number, c) in enumerate(zip(result.candidates, result.comparisons, strict=True)):
        if c.pairs:
            lines.append([str(number), _mean(result, number), *_compared(c)])
        else:
            lines.append(
                [str(number), "", "", "", "", f"dropped after {result.given[index]} seeds"]
            )
    number = result.winner[0]
    if result.over_untouched is not None and result.rate is not None:
        lines.append(["the model as it is", _mean(result, UNTOUCHED), "", "", "", ""])
        for arm, c in ((number, result.over_untouched), (BASELINE, result.rate)):
            label = str(arm) if arm else baseline
            lines.append([f"{label} over that", "", *_compared(c)])
    if (alone := result.at_own_rate) is not None:
        label = f"{number}, own rate, over that"
        lines.append([label, _mean(result, f"{number}@own"), *_compared(alone)])
    return ["trial", result.metric, "gain", "95 % interval", "p", ""], lines


def _compared(c: Comparison) -> list[str]:
    return [f"{c.gain:+.4f}", f"[{c.low:+.4f}, {c.high:+.4f}]", f"{c.p:.2g}", c.verdict]


def _mean(result: Confirmation, arm: int | str) -> str:
    scores = [s for seed in result.seeds if (s := result.scores.get(f"{arm}:{seed}")) is not None]
    return f"{sum(scores) / len(scores):.4f}" if scores else "nan"


def summary(run: StudyRun) -> str:
    """Return what a study has found, in Markdown."""
    config = run.config
    counts = ", ".join(f"{count} {state}" for state, count in sorted(finished(run.trials).items()))
    goals = ", ".join(f"{objective.metric} ({objective.mode})" for objective in config.goals)
    parts = [
        f"# {run.name}",
        (
            f"Task `{config.task}`, space `{config.space}`, objective {goals}, sampler"
            f" {config.sampler}, seed {config.seed}. Trials: {counts}."
        ),
    ]
    result = Confirmation.read(run)
    if result is not None and result.comparisons:
        parts += [
            "## Confirmation",
            result.verdict()[0].upper() + result.verdict()[1:],
            (
                f"Scored on the {result.split} split with {len(result.seeds)} new seeds shared with"
                " the baseline. The candidates had raced on other seeds: which of them is compared"
                " was not decided by these scores."
            ),
            table(*confirmation_rows(result)),
        ]
    parts += [
        "## The ladder",
        (
            "What each step came to in validation, and what it took: the model as it is, its"
            " learning rate tuned, activations that people try by hand, the search."
        ),
        table(*ladder.ladder_rows(run)),
        "## Best trials of the search",
        f"{_seeds(run)} The best of many looks better than it is.",
        table(*best_rows(run)),
    ]
    failures = [trial for trial in run.trials if trial.state == TrialState.FAIL]
    if failures:
        reasons = [
            [str(trial.number), result_of(trial).reason[:200], short(run, trial)]
            for trial in failures[:10]
        ]
        parts += ["## Failed trials", table(["trial", "reason", "placement"], reasons)]
    parts += ["## What to do", ending(run)]
    return "\n\n".join(parts) + "\n"


def _seeds(run: StudyRun) -> str:
    """Return with how many seeds a trial trains, and why these train one by one."""
    seeds, why = run.config.seeds_each(run.model_info), run.model_info.one_by_one
    each = "One training each." if seeds == 1 else f"Means over {seeds} seeds each ± their spread."
    return each + (f" Seeds train one by one: {why}." if why else " Seeds train as one network.")


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    body = [
        " | ".join(header),
        " | ".join("---" for _ in header),
        *(" | ".join(line) for line in lines),
    ]
    return "\n".join(f"| {line} |" for line in body)
