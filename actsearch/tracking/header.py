"""What a search is about, in a few lines at its start."""

from __future__ import annotations

from pathlib import Path

from actsearch.search.study.record import StudyRun
from actsearch.tracking.link import opening
from actsearch.tracking.words import labels, own

EACH = {
    "model": "one for the whole model",
    "block": "one for each block",
    "layer": "one for each layer",
    "staged": "for the whole model first, then for its parts",
}
"""What takes one choice, by granularity."""

MOST_SITES = 6
"""Sites that are named; of more, their number is told."""


def header(run: StudyRun, total: int) -> list[str]:
    """Return what a search is about.

    Args:
        run: the study.
        total: trials that are wanted.
    """
    config = run.config
    goals = ", ".join(f"{goal.metric} ({goal.mode})" for goal in config.goals)
    seeds = config.seeds_each(run.model_info)
    each = f", each of {seeds} seeds" if seeds > 1 else ""
    done = sum(trial.state.is_finished() for trial in run.trials)
    lines = {
        "study": f"{run.name}{f', which goes on after trial {done - 1}' if done else ''}",
        "task": config.task,
        "data": config.data,
        "sites": sites(run),
        "choices": choices(run),
        "goal": f"{goals}{', where ' * bool(config.require)}{' and '.join(config.require)}",
        "size": f"{total} trials{each}, by {config.sampler}, seed {config.seed}",
        "store": short_path(run.folder),
        "record": str(run.store.record) if run.store.is_shared else "",
        "MLflow": opening(run.name, short_path(run.store.root)) + run.store.record_option,
    }
    return [f"{name:<8} {text}" for name, text in lines.items() if text]


def sites(run: StudyRun) -> str:
    """Return the sites that are searched, and what stands there."""
    names = [site.name for site in run.model_info.found.open]
    shown = ", ".join(labels(names)) if len(names) <= MOST_SITES else ""
    return f"{len(names)}{f' ({shown})' * bool(shown)} with {own(run)}"


def choices(run: StudyRun) -> str:
    """Return how many activations a site may take, and what takes one choice."""
    numbers = sorted({len(choice.candidates) for choice in run.space.choices})
    how_many = " to ".join(map(str, dict.fromkeys([numbers[0], numbers[-1]])))
    granularity = run.config.search_space.granularity
    return f"{how_many} activations of {run.config.space}, {EACH[granularity]}"


def short_path(path: Path) -> str:
    """Return a path as seen from the current folder, where it lies in that."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
