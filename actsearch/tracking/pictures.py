"""Pictures of a study, drawn without a display or global state, so that any thread may."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import optuna
import torch
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState

from actsearch.activations import Activation
from actsearch.errors import InvalidValueError
from actsearch.placement import Placement, SiteEntry
from actsearch.search.confirm.confirmation import UNTOUCHED, Confirmation
from actsearch.search.study.pareto import front
from actsearch.search.study.record import StudyRun
from actsearch.tracking.words import short

COLOURS = {TrialState.COMPLETE: "tab:blue", TrialState.PRUNED: "tab:orange"}
MAX_LABELS = 40


def curves(placement: Placement, path: Path) -> None:
    """Draw each different activation of a placement with its derivative."""
    entries = {
        entry.model_dump_json(exclude={"channels", "channel_dim"}): entry
        for entry in placement.sites.values()
    }
    sheet({_label(entry): entry.build(channels=1) for entry in list(entries.values())[:24]}, path)


def _label(entry: SiteEntry) -> str:
    parameters = ", ".join(
        f"{key}={value:.3g}" for key, value in entry.parameters.items() if isinstance(value, float)
    )
    return f"{entry.activation[:40]}\n{parameters}" if parameters else entry.activation[:40]


def sheet(activations: dict[str, Activation], path: Path, reach: float = 4.0) -> None:
    """Draw activations with their derivatives, each under its label."""
    columns = min(6, max(1, math.ceil(math.sqrt(len(activations)))))
    rows = max(1, -(-len(activations) // columns))
    figure = Figure(figsize=(3.0 * columns, 2.6 * rows), layout="constrained")
    x = torch.linspace(-reach, reach, 801, dtype=torch.float64, requires_grad=True)
    for index, (label, entry) in enumerate(activations.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        y = entry.plain()(x)
        slope = torch.autograd.grad(y.sum(), x)[0] if y.requires_grad else torch.zeros_like(x)
        axes.axhline(0, color="0.8", lw=0.8)
        axes.axvline(0, color="0.8", lw=0.8)
        axes.plot(x.detach(), y.detach(), label="φ(x)")
        axes.plot(x.detach(), slope, "--", label="φ'(x)")
        axes.set_title(label, fontsize=9)
        axes.set_ylim(-3, 4)
    if figure.axes:
        figure.axes[0].legend(fontsize=8)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise InvalidValueError(
            f"picture must be a file that can be written, such as sheet.png, but got {str(path)!r}:"
            f" {error}."
        ) from None


def history(run: StudyRun, path: Path) -> None:
    """Draw the first objective by trial, the best so far, and the baseline."""
    objective = run.config.goals[0]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    best: list[tuple[int, float]] = []
    for trial in run.trials:
        if trial.state == TrialState.COMPLETE:
            value = trial.values[0]
            if not best or objective.better(value, best[-1][1]):
                best.append((trial.number, value))
        elif trial.state == TrialState.PRUNED and trial.intermediate_values:
            value = trial.intermediate_values[max(trial.intermediate_values)]
        else:
            axes.axvline(trial.number, color="tab:red", lw=0.8, alpha=0.5)
            continue
        axes.plot(trial.number, value, "o", ms=4, color=COLOURS[trial.state])
    if best:
        steps = [*best, (len(run.trials) - 1, best[-1][1])]
        axes.step(
            [n for n, _ in steps],
            [v for _, v in steps],
            where="post",
            color="tab:green",
            label="best so far",
        )
    if run.baseline is not None:
        axes.axhline(run.baseline.values[0], color="0.4", ls="--", label="baseline")
    for state, colour in COLOURS.items():
        axes.plot([], [], "o", ms=4, color=colour, label=state.name.lower())
    axes.plot([], [], color="tab:red", lw=0.8, label="failed")
    axes.set(xlabel="trial", ylabel=objective.metric, title=run.name)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110)


def heat_map(run: StudyRun, path: Path) -> None:
    """Draw the mean of the first objective by site and activation, with the number of trainings."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for trial in run.ranked():
        placement = run.placement(trial)
        for site, entry in (placement.sites if placement else {}).items():
            cells[site, entry.activation].append(trial.values[0])
    if not cells:
        return
    sites = list(dict.fromkeys(site for site, _ in cells))[:MAX_LABELS]
    uses: dict[str, int] = defaultdict(int)
    for (_, name), values in cells.items():
        uses[name] += len(values)
    names = sorted(uses, key=lambda name: -uses[name])[:MAX_LABELS]
    grid = [
        [sum(v) / len(v) if (v := cells.get((site, name))) else float("nan") for name in names]
        for site in sites
    ]
    figure = Figure(
        figsize=(2.5 + 0.55 * len(names), 1.8 + 0.35 * len(sites)), layout="constrained"
    )
    axes = figure.add_subplot()
    objective = run.config.goals[0]
    image = axes.imshow(
        grid, aspect="auto", cmap="viridis" if objective.mode == "max" else "viridis_r"
    )
    for row, site in enumerate(sites):
        for column, name in enumerate(names):
            if count := len(cells.get((site, name), [])):
                axes.text(
                    column, row, str(count), ha="center", va="center", color="white", fontsize=7
                )
    axes.set_xticks(
        range(len(names)), [name[:24] for name in names], rotation=60, ha="right", fontsize=8
    )
    axes.set_yticks(range(len(sites)), sites, fontsize=8)
    axes.set_title(f"mean {objective.metric}; number of trainings in each cell", fontsize=9)
    figure.colorbar(image)
    figure.savefig(path, dpi=110)


def importance(run: StudyRun, path: Path) -> None:
    """Draw how much of the variation each decision explains (functional ANOVA).

    Nothing with too few trials.
    """
    names = [choice.name for choice in run.space.choices]
    complete = [
        t
        for t in run.trials
        if t.state == TrialState.COMPLETE and all(name in t.params for name in names)
    ]
    if len(complete) < 8 or len(names) < 2 or len({t.values[0] for t in complete}) < 2:
        return
    # What nobody has tried explains nothing: hundreds of choices would cost seconds.
    tried: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(list(dict.fromkeys(t.params[name] for t in complete)))
        for name in names
    }
    study = optuna.create_study(direction=run.config.goals[0].direction)
    for trial in complete:
        study.add_trial(
            optuna.create_trial(
                value=trial.values[0],
                params={name: trial.params[name] for name in names},
                distributions=tried,
            )
        )
    shares = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    figure = Figure(figsize=(7, 1.2 + 0.3 * len(shares)), layout="constrained")
    axes = figure.add_subplot()
    labels = list(shares)[:MAX_LABELS][::-1]
    axes.barh(labels, [shares[label] for label in labels])
    axes.set(
        xlabel="share of the variation explained (fANOVA)",
        title=f"{run.name}: which place matters, {len(complete)} trainings",
    )
    figure.savefig(path, dpi=110)


def pareto(run: StudyRun, path: Path) -> None:
    """Draw the first two objectives of every trial, and the front."""
    first, second = run.config.goals[:2]
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.add_subplot()
    complete = run.ranked()
    axes.plot(
        [t.values[0] for t in complete],
        [t.values[1] for t in complete],
        "o",
        ms=4,
        color="0.6",
        label="trials",
    )
    signs = [1 if objective.mode == "min" else -1 for objective in (first, second)]
    best = sorted(
        (complete[i] for i in front([t.values[:2] for t in complete], signs)),
        key=lambda trial: trial.values[0],
    )
    x, y = [trial.values[0] for trial in best], [trial.values[1] for trial in best]
    axes.plot(x, y, "o-", color="tab:green", label="Pareto front")
    middle = sum(axes.get_xlim()) / 2
    for trial, at in zip(best, zip(x, y, strict=True), strict=True):
        side, away = ("right", -5) if at[0] > middle else ("left", 5)
        name = short(run, trial)
        axes.annotate(name, at, (away, 4), textcoords="offset points", fontsize=6, ha=side)
    if complete:
        axes.plot(*complete[0].values[:2], "*", ms=14, color="tab:orange", label="knee")
    if run.baseline is not None:
        axes.plot(*run.baseline.values[:2], "s", color="tab:red", label="baseline")
    axes.set(
        xlabel=f"{first.metric} ({first.mode})",
        ylabel=f"{second.metric} ({second.mode})",
        title=run.name,
    )
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def confirmation(result: Confirmation, path: Path) -> None:
    """Draw each candidate's paired differences with the baseline, their mean and its interval.

    With the model as it is too.
    """
    beside = "the baseline" if result.over_untouched is None else "the baseline, rate tuned"
    rows = [
        (
            f"trial {number}" if c.pairs else f"trial {number}\n(dropped after {given} seeds)",
            c,
            result.differences(number),
        )
        for number, c, given in zip(
            result.candidates, result.comparisons, result.given, strict=True
        )
    ]
    if (own := result.over_untouched) is not None:
        number = result.winner[0]
        rows.append(
            (f"trial {number}\nover the model as it is", own, result.differences(number, UNTOUCHED))
        )
    figure = Figure(figsize=(7, 1.6 + 0.6 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for row, (_, c, differences) in enumerate(rows):
        axes.plot(differences, [row + 0.18] * len(differences), "|", color="0.5", ms=8)
        if not math.isfinite(c.high - c.low):
            continue  # dropped in the race, or too few pairs for an interval
        colour = {"better": "tab:green", "worse": "tab:red"}.get(c.verdict, "tab:blue")
        axes.errorbar(
            [c.gain],
            [row],
            xerr=[[c.gain - c.low], [c.high - c.gain]],
            fmt="o",
            capsize=4,
            color=colour,
        )
    axes.axvline(0, color="0.3", lw=0.8)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows], fontsize=9)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set(
        xlabel=f"gain in {result.metric} over {beside}, by seed; mean and 95 % interval",
        title=f"{result.split} split{', another with each seed' * bool(result.split_option)}",
    )
    figure.savefig(path, dpi=110)
