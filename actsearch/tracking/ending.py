"""What to do with what a study found: reuse a winner by two lines, or how to look further."""

from __future__ import annotations

from pathlib import Path

from actsearch.placement import Placement
from actsearch.search.confirm.confirmation import Confirmation, figures
from actsearch.search.study.placement_file import placement_file
from actsearch.search.study.record import StudyRun, result_of
from actsearch.tracking.words import own


def ending(run: StudyRun) -> str:
    """Return the last words of a search or a confirmation."""
    result = Confirmation.read(run)
    path = placement_file(run)
    if path is None:
        broken = [r.violated for t in run.trials if (r := result_of(t)).violated]
        if broken:
            return (
                f"No trial keeps to the bounds: {len(broken)} broke one, the last"
                f" {', '.join(broken[-1])}. There is nothing to reuse; loosen --require."
            )
        return "No trial besides the baseline was completed; there is nothing to reuse yet."
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    if result is None or not result.comparisons:
        return (
            "Nothing is confirmed: one training that looks best among many looks better than it"
            f" is.\nConfirm it: actsearch confirm {run.name}{_store(run)}    The candidate is in"
            f" {shown}."
        )
    return _reuse(result, shown) if result.outcome == "better" else _keep(run, result, shown)


def _reuse(result: Confirmation, path: Path) -> str:
    factor = Placement.load(path).learning_rate_factor
    lines = [
        "Reuse it in your training code:",
        "",
        "    from actsearch import Placement",
        f"    placement = Placement.load({str(path)!r})",
        "    placement.apply(model)",
        "    optimizer = torch.optim.AdamW(placement.optimizer_parameters(model, lr=...))"
        + (
            "" if factor == 1.0 else f"    # your learning rate; it becomes {factor:.3g} times that"
        ),
    ]
    if (alone := result.at_own_rate) is not None:
        how = {"better": "better too", "worse": "WORSE than the model as it is"}.get(
            alone.verdict, "no different"
        )
        lines += [
            "",
            (
                f"Without the last line, at your own learning rate, it is {how}:"
                f" {figures(result.metric, alone)}."
            ),
        ]
    return "\n".join(lines)


def _keep(run: StudyRun, result: Confirmation, path: Path) -> str:
    rate, factor = result.rate, f"{run.factor(run.baseline):.3g} times your learning rate"
    kept = f"Keep your {own(run)}"
    if rate is not None and rate.verdict == "better":
        kept += f", at {factor}: {figures(result.metric, rate)} over the model as it is"
    elif rate is not None:
        kept += f". At {factor} it was not confirmed as better: {figures(result.metric, rate)}"
    lines = [f"{kept}."]
    if result.over_untouched is not None and result.over_untouched.verdict == "better":
        number = result.winner[0]
        lines.append(
            f"Trial {number} at its learning rate is better than the model as it is:"
            f" {figures(result.metric, result.over_untouched)}; what it adds to the rate alone was"
            " not found."
        )
    seeds = 2 * result.budget // (len(result.candidates) + 1)
    further = f"actsearch confirm {run.name} --seeds {seeds}{_store(run)}"
    lines.append(f"To look further: more seeds ({further}), more trials, or another --space.")
    lines.append(f"What came nearest is in {path}.")
    return "\n".join(lines)


def _store(run: StudyRun) -> str:
    default = Path("mlruns").absolute()
    where = "" if run.store.root == default else f" --store {run.store.root}"
    return where + run.store.record_option
