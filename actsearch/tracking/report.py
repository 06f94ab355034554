"""What a person looks at: a summary in Markdown and pictures, written into the study's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from actsearch.placement import Placement
from actsearch.placement.placement import write_text
from actsearch.search.confirm import Confirmation
from actsearch.search.statistics import BASELINE
from actsearch.search.study import StudyRun, finished, outcome_of
from actsearch.tracking import pictures


def write_report(run: StudyRun) -> Path:
    """Write summary and pictures of a study, and return their folder."""
    folder = run.folder / "report"
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "summary.md", summary(run))
    pictures.history(run, folder / "history.png")
    pictures.heat_map(run, folder / "sites.png")
    pictures.importance(run, folder / "importance.png")
    if len(run.plan.objectives) > 1:
        pictures.pareto(run, folder / "pareto.png")
    placements = [p for t in run.candidates(1) if (p := run.placement(t)) is not None]
    if placements:
        pictures.curves(placements[0], folder / "curves.png")
    confirmation = Confirmation.read(run)
    if confirmation is not None and confirmation.comparisons:
        pictures.confirmation(confirmation, folder / "confirmation.png")
    return folder


def short(run: StudyRun, trial: FrozenTrial) -> str:
    """Return a placement in few words, equal sites joined, and its learning rate where that is not the task's own."""
    factor = run.factor(trial)
    return _short(run.placement(trial)) + ("" if factor == 1.0 else f"; learning rate × {factor:.3g}")


def _short(placement: Placement | None) -> str:
    if placement is None:
        return "the model's own"
    names = [entry.activation for entry in placement.sites.values()]
    if len(set(names)) == 1:
        return f"{names[0]} at all {len(names)} sites" if len(names) > 1 else names[0]
    return ", ".join(f"{label}: {name}" for label, name in zip(labels(list(placement.sites)), names, strict=True))


def labels(sites: Sequence[str]) -> list[str]:
    """Return site names without the parts that all of them begin or end with.

    >>> labels(["network.layer_1.activation", "network.layer_2.activation"])
    ['layer_1', 'layer_2']
    """
    parts = [site.split(".") for site in sites]
    while len(parts) > 1 and all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    while len(parts) > 1 and all(len(p) > 1 for p in parts) and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    return [".".join(p) for p in parts]


def rows(run: StudyRun, top: int = 10) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the best trials, the baseline among them."""
    names = [objective.metric for objective in run.plan.objectives]
    ranked = run.ranked()
    chosen = ranked[:top]
    baseline = run.baseline
    if baseline is not None and baseline not in chosen:
        chosen.append(baseline)
    lines = []
    for trial in chosen:
        label = "baseline" if trial is baseline else str(trial.number)
        seconds = f"{outcome_of(trial).get('seconds', 0.0):.1f}"
        lines.append([label, *(f"{value:.4f}" for value in trial.values), seconds, short(run, trial)])
    return ["trial", *names, "seconds", "placement"], lines


def confirmation_rows(result: Confirmation) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a confirmation."""
    lines = [["baseline", f"{_mean(result, BASELINE):.4f}", "", "", "", ""]]
    for index, (number, c) in enumerate(zip(result.candidates, result.comparisons, strict=True)):
        if not c.pairs:
            lines.append([str(number), "", "", "", "", f"dropped after {result.given[index]} seeds"])
            continue
        interval = f"[{c.low:+.4f}, {c.high:+.4f}]"
        verdict = "significant" if c.significant else "not significant"
        lines.append([str(number), f"{_mean(result, number):.4f}", f"{c.gain:+.4f}", interval, f"{c.p:.2g}", verdict])
    return ["trial", result.metric, "gain", "95 % interval", "p", ""], lines


def _mean(result: Confirmation, arm: int) -> float:
    scores = [s for seed in result.seeds if (s := result.scores.get(f"{arm}:{seed}")) is not None]
    return sum(scores) / len(scores) if scores else float("nan")


def summary(run: StudyRun) -> str:
    """Return what a study has found, in Markdown."""
    plan = run.plan
    counts = ", ".join(f"{count} {state}" for state, count in sorted(finished(run.trials).items()))
    goals = ", ".join(f"{objective.metric} ({objective.mode})" for objective in plan.objectives)
    parts = [
        f"# {run.name}",
        f"Task `{plan.task}`, space `{plan.space}`, objective {goals}, sampler {plan.sampler}, seed {plan.seed}. Trials: {counts}.",
    ]
    result = Confirmation.read(run)
    if result is not None and result.comparisons:
        parts += [
            "## Confirmation",
            result.verdict()[0].upper() + result.verdict()[1:],
            f"Scored on the {result.split} split with {len(result.seeds)} new seeds shared with the baseline. "
            "The candidates had raced on other seeds: which of them is compared was not decided by these scores.",
            table(*confirmation_rows(result)),
        ]
    parts += [
        "## Best trials of the search",
        "One training each: the best of many looks better than it is.",
        table(*rows(run)),
    ]
    failures = [trial for trial in run.trials if trial.state == TrialState.FAIL]
    if failures:
        reasons = [
            [str(trial.number), outcome_of(trial).get("reason", "")[:200], short(run, trial)] for trial in failures[:10]
        ]
        parts += ["## Failed trials", table(["trial", "reason", "placement"], reasons)]
    parts += ["## Reuse", '```python\nfrom actsearch import Placement\nPlacement.load("best.json").apply(model)\n```']
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    body = [" | ".join(header), " | ".join("---" for _ in header), *(" | ".join(line) for line in lines)]
    return "\n".join(f"| {line} |" for line in body)
