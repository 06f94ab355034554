"""What a person looks at: a summary in Markdown, a page in HTML and pictures, in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path

from optuna.trial import TrialState

from actsearch.placement import Placement
from actsearch.placement.files import write_text
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.confirm.confirmation import confirmation_rows as confirmation_rows
from actsearch.search.study.changes import accepted_changes
from actsearch.search.study.config import StudyConfig, flat
from actsearch.search.study.placement_file import placement_file
from actsearch.search.study.record import StudyRun, finished, result_of
from actsearch.tracking import ladder, pictures
from actsearch.tracking.ending import ending
from actsearch.tracking.page import Rows, Section, page
from actsearch.tracking.provenance import calls_of
from actsearch.tracking.words import short

PICTURES = ("confirmation", "history", "pareto", "curves", "sites", "importance")
"""Names of the pictures, in the order that a reader wants them in."""


def write_report(run: StudyRun) -> Path:
    """Write summary, page and pictures of a study, and return their folder."""
    folder = run.folder / "report"
    folder.mkdir(parents=True, exist_ok=True)
    parts = sections(run)
    write_text(folder / "summary.md", markdown(parts))
    for name in PICTURES:  # by an earlier call, and perhaps not by this one
        (folder / f"{name}.png").unlink(missing_ok=True)
        (folder / f"{name}.svg").unlink(missing_ok=True)
    pictures.history(run, folder / "history.png")
    pictures.heat_map(run, folder / "sites.png")
    pictures.importance(run, folder / "importance.png")
    if len(run.config.goals) > 1:
        pictures.pareto(run, folder / "pareto.png")
    if (file := placement_file(run)) is not None:
        pictures.curves(run, Placement.load(file), folder / "curves.png")
    confirmation = Confirmation.read(run)
    if confirmation is not None and confirmation.comparisons:
        pictures.confirmation(confirmation, folder / "confirmation.png", run.name)
    write_text(folder / "report.html", page(run.name, parts, folder))
    return folder


def best_rows(run: StudyRun, top: int = 10) -> Rows:
    """Return header and rows of the best trials, the baseline among them.

    Of several seeds it is their mean ± the standard deviation over them.
    """
    names = [objective.metric for objective in run.config.goals]
    baseline = run.baseline
    # Of the baseline the best learning rate: its others tell nothing of what was searched.
    chosen = [t for t in run.ranked() if t is baseline or not run.is_baseline(t)][:top]
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


def summary(run: StudyRun) -> str:
    """Return what a study has found, in Markdown."""
    return markdown(sections(run))


def sections(run: StudyRun) -> list[Section]:
    """Return the parts of a study's report."""
    config = run.config
    counts = ", ".join(f"{count} {state}" for state, count in sorted(finished(run.trials).items()))
    goals = ", ".join(f"{objective.metric} ({objective.mode})" for objective in config.goals)
    about = (
        f"Task {config.task}, space {config.space}, objective {goals}, sampler {config.sampler},"
        f" seed {config.seed}. Trials: {counts}."
    ) + "".join(f" Accepted {noted}." for noted in accepted_changes(run))
    return [
        Section(run.name, about),
        *_confirmation(run),
        Section(
            "The ladder",
            "What each step came to in validation, and what it took: the model as it is, its"
            " learning rate tuned, activations that people try by hand, the search.",
            ladder.ladder_rows(run),
        ),
        Section(
            "Best trials of the search",
            f"{_seeds(run)} The best of many looks better than it is.",
            best_rows(run),
            ("history", "pareto"),
        ),
        Section("What stands where", shown=("curves", "sites", "importance")),
        *_failed(run),
        Section("What to do", ending(run)),
        *_how(run),
    ]


def _confirmation(run: StudyRun) -> list[Section]:
    result = Confirmation.read(run)
    if result is None or not result.comparisons:
        return []
    text = (
        f"{result.verdict()[0].upper()}{result.verdict()[1:]}\n\nScored on the {result.split} split"
        f" with {len(result.seeds)} new seeds shared with the baseline. The candidates had raced on"
        " other seeds: which of them is compared was not decided by these scores."
    )
    return [Section("Confirmation", text, confirmation_rows(result), ("confirmation",))]


def _failed(run: StudyRun) -> list[Section]:
    failures = [trial for trial in run.trials if trial.state == TrialState.FAIL]
    reasons = [
        [str(trial.number), result_of(trial).reason[:200], short(run, trial)]
        for trial in failures[:10]
    ]
    return [Section("Failed trials", rows=(["trial", "reason", "placement"], reasons))][
        : len(reasons)
    ]


def _how(run: StudyRun) -> list[Section]:
    """Return how a study was run: its calls, and the options that are not the default."""
    calls = [
        [
            call.date,
            "not to the end" if call.seconds is None else f"{call.seconds:.0f}",
            call.command,
            call.machine,
            ", ".join(f"{name} {number}" for name, number in call.versions.items()),
        ]
        for call in calls_of(run)
    ]
    header = ["began", "seconds", "command", "machine", "versions"]
    options = [
        [name, str(value)]
        for one in fields(StudyConfig)
        if one.name != "space_content"
        for name, value in flat(getattr(run.config, one.name), f"{one.name}.").items()
        if value != (one.default if one.default_factory is MISSING else one.default_factory())
    ]
    told = [Section("How it was run", rows=(header, calls))][: len(calls)]
    return [*told, Section("Options", rows=(["option", "value"], options))]


def _seeds(run: StudyRun) -> str:
    """Return with how many seeds a trial trains, and why these train one by one."""
    seeds, why = run.config.seeds_each(run.model_info), run.model_info.one_by_one
    each = "One training each." if seeds == 1 else f"Means over {seeds} seeds each ± their spread."
    return each + (f" Seeds train one by one: {why}." if why else " Seeds train as one network.")


def markdown(parts: Sequence[Section]) -> str:
    """Return a report in Markdown, without what is pictures alone."""
    blocks: list[str] = []
    for level, part in enumerate(parts):
        if part.text or part.rows:
            blocks.append(f"{'##' if level else '#'} {part.title}")
            blocks += [part.text] * bool(part.text)
            blocks += [table(*part.rows)] if part.rows else []
    return "\n\n".join(blocks) + "\n"


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    body = [
        " | ".join(header),
        " | ".join("---" for _ in header),
        *(" | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in one) for one in lines),
    ]
    return "\n".join(f"| {line} |" for line in body)
