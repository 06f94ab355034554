"""What a search is worth beside what one would do without it. Linux alone.

    python benchmarks/judge.py --out judged                             # all tasks, or the rest
    python benchmarks/judge.py table digits                             # some
    python benchmarks/judge.py --module mypackage.MyModule --epochs 20  # an own module

Each contestant has a process and one thread of its own, and its CPU time is that of all that it
starts. What it finds, ``own`` being the module as it is, then trains by Lightning's trainer alone
on the same fresh seeds, each with a division of the data that no contestant has seen.

An own module brings its data, divides them by an option, has its learning rate as ``lr`` or
``learning_rate``, and gives ``self.parameters()`` to one optimiser.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import judge_tasks
import numpy as np
import torch
from cpu_time import cpu_seconds
from judge_contestants import BUDGETED, PLAIN, RIVAL, at_rate, command
from judge_training import Task, tested

from actsearch import Placement
from actsearch.errors import ActsearchError
from actsearch.placement.files import write_text
from actsearch.search.confirm.racing import Comparison, compare
from actsearch.search.training.train import quiet

OWN, OURS = "own", "actsearch"
CONTESTANTS = (OWN, "tuned", RIVAL, "tpe", "random", OURS)
"""In the order of the table."""

FIRST_SEED, FIRST_SPLIT = 10_000, 2**31
"""The first seed and the first split of the re-test: the splits of a search are below 2³¹."""

TASKS = {
    cls.__name__.lower(): Task(cls.__name__.lower(), f"judge_tasks.{cls.__name__}", cls.epochs)
    for cls in (*judge_tasks.OPEN, *judge_tasks.HELD_OUT)
}
HELD_OUT = {cls.__name__.lower() for cls in judge_tasks.HELD_OUT}


@dataclass(frozen=True)
class Entry:
    """What a contestant found for a task, and what that came to in the re-test.

    Args:
        placement: what it found.
        cpu: the seconds that it took.
        scores: the metric of each seed; NaN is for a training that diverged.
        claim: what it says of itself: ``verdict``, ``advice``, and where it claims a gain over the
            module as it is, ``gain``, ``low`` and ``high``.
        sign: 1 where more is better, else -1.
    """

    placement: Placement
    cpu: float
    scores: Sequence[float]
    claim: Mapping[str, Any] = field(default_factory=dict)
    sign: int = -1

    def over(self, other: Entry) -> Comparison | None:
        """Compare the scores by seed, a gain is positive; ``None`` where all are the same."""
        if np.array_equal(self.scores, other.scores, equal_nan=True):
            return None
        return compare((self.sign * np.subtract(self.scores, other.scores)).tolist())


def find(task: Task, seed: int, folder: Path) -> None:
    """Run the contestants on a task, each in a process of its own, those that are not done yet."""
    here = [str(Path(__file__).parent), str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, here))}
    folder.mkdir(parents=True, exist_ok=True)
    budget = 0.0
    for name in (*PLAIN, *BUDGETED):
        done = folder / f"{name}.json"
        if not done.exists():
            with tempfile.TemporaryDirectory() as scratch:
                claim = Path(scratch) / "claim.json"
                files = folder / f"{name}.placement.json", claim
                cpu = cpu_seconds(command(name, task, seed, budget, *files), env)
                result = {"cpu": cpu, "claim": json.loads(claim.read_text())}
                write_text(done, json.dumps(result, indent=1) + "\n")
            print(f"{task.name}: {name} took {cpu:.1f} s of CPU", flush=True)
        if name == OURS:
            budget = json.loads(done.read_text())["cpu"]


def retest(task: Task, placement: Placement, seeds: int, file: Path) -> list[float]:
    """Train what was found on the seeds of the re-test, and return the scores.

    What is in the file is not trained again, whoever found it.
    """
    kept = json.loads(file.read_text()) if file.exists() else {}
    content = {"sites", "initialisation", "learning_rate_factor"}
    scores = kept.setdefault(placement.model_dump_json(include=content), {})
    for index in range(seeds):
        if str(index) not in scores:
            score = tested(task, placement, FIRST_SEED + index, FIRST_SPLIT + index)
            scores[str(index)] = score if math.isfinite(score) else None
            write_text(file, json.dumps(kept, indent=1) + "\n")
    found = [scores[str(index)] for index in range(seeds)]
    return [math.nan if score is None else score for score in found]


def judge(task: Task, seeds: int, search_seed: int, out: Path) -> dict[str, Entry]:
    """Return what each contestant found and came to."""
    folder, file = out / task.name / f"seed-{search_seed}", out / task.name / "scores.json"
    own = at_rate(1.0)
    entries = {OWN: Entry(own, 0.0, retest(task, own, seeds, file), sign=task.sign)}
    find(task, search_seed, folder)
    for name in CONTESTANTS[1:]:
        found = Placement.load(folder / f"{name}.placement.json")
        told = json.loads((folder / f"{name}.json").read_text())
        scores = retest(task, found, seeds, file)
        entries[name] = Entry(found, told["cpu"], scores, told["claim"], task.sign)
    return entries


def contest_table(judged: Mapping[str, Mapping[str, Entry]]) -> list[str]:
    """Return the lines of a table of all contestants."""
    scored = "test metric", "gain over own", f"gain over {RIVAL}"
    lines = _head("task", "contestant", "what it found", *scored, "CPU s", f"over {RIVAL}")
    for task, entries in judged.items():
        rival = entries[RIVAL]
        for name, entry in entries.items():
            shown = [f"{task}{' (held out)' * (task in HELD_OUT)}", name, _words(entry.placement)]
            shown += [f"{np.nanmean(entry.scores):.4g}"]
            shown += ["" if name == OWN else _figures(entry, entries[OWN])]
            shown += ["" if name == RIVAL else _figures(entry, rival)]
            lines.append(_row(*shown, f"{entry.cpu:.0f}", f"{entry.cpu / rival.cpu:.2f}"))
    return lines


def claim_table(judged: Mapping[str, Mapping[str, Entry]]) -> list[str]:
    """Return the lines of a table of what the search claims, and whether that is so."""
    lines = _head("task", "verdict", "claimed over own", "measured", "true", "inside of the claim")
    for task, entries in judged.items():
        claim, measured = entries[OURS].claim, entries[OURS].over(entries[OWN])
        gain = 0.0 if measured is None else measured.gain
        shown = ["nothing", f"{gain:+.3g}", "", ""]
        if "gain" in claim:
            inside = claim["low"] <= gain <= claim["high"]
            shown[0] = f"{claim['gain']:+.3g} [{claim['low']:+.3g}, {claim['high']:+.3g}]"
            shown[2:] = ["yes" if so else "no" for so in (gain > 0, inside)]
        lines.append(_row(task, claim["verdict"], *shown))
    return lines


def tally_table(judged: Mapping[str, Mapping[str, Entry]]) -> list[str]:
    """Return the lines of a table that counts wins and losses over the tasks."""
    columns = ["better / no difference / worse than " + name for name in (OWN, RIVAL)]
    lines = _head("contestant", *columns, f"CPU over {RIVAL}, geometric mean")
    for name in CONTESTANTS[1:]:
        shown = [name]
        for other in (OWN, RIVAL):
            compared = [entries[name].over(entries[other]) for entries in judged.values()]
            verdicts = [None if one is None else one.verdict for one in compared]
            better, worse = verdicts.count("better"), verdicts.count("worse")
            shown.append(f"{better} / {len(verdicts) - better - worse} / {worse}")
        ratios = [entries[name].cpu / entries[RIVAL].cpu for entries in judged.values()]
        lines.append(_row(*shown, f"{math.exp(np.log(ratios).mean()):.2f}"))
    return lines


def _figures(entry: Entry, other: Entry) -> str:
    """Return a paired gain in words, with how many pairs there are where trainings diverged."""
    compared = entry.over(other)
    if compared is None:
        return "the same"
    c = compared
    left = f", {c.pairs} of {len(entry.scores)} pairs" * (c.pairs < len(entry.scores))
    return f"{c.gain:+.3g} [{c.low:+.3g}, {c.high:+.3g}], p = {c.p:.2g}{left}"


def _words(placement: Placement) -> str:
    names = dict.fromkeys(f"`{entry.activation}`" for entry in placement.sites.values())
    factor = placement.learning_rate_factor
    rate = "" if factor == 1 else f", {factor:.3g} times the rate"
    return (", ".join(names) or "own activations") + rate


def _head(*columns: str) -> list[str]:
    return [_row(*columns), _row(*["---"] * len(columns))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Judge the asked or all tasks, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", help=f"of {', '.join(TASKS)}; all by default")
    parser.add_argument("--module", help="dotted path of an own LightningModule, instead of these")
    parser.add_argument("--epochs", type=int, help="of the own module's training")
    parser.add_argument("--split-option", default="split_seed", help="option that divides its data")
    parser.add_argument("--monitor", default="val_loss", help="metric that it is chosen by")
    parser.add_argument("--mode", default="min", choices=["min", "max"])
    parser.add_argument("--seeds", type=int, default=12, help="of the re-test")
    parser.add_argument("--search-seed", type=int, default=0, help="of every contestant")
    parser.add_argument(
        "--out", type=Path, help="folder of the results; a temporary one by default"
    )
    asked = parser.parse_args()
    if unknown := set(asked.tasks) - set(TASKS):
        parser.error(f"no task {', '.join(unknown)}; there are {', '.join(TASKS)}")
    if asked.module and (asked.tasks or not asked.epochs):
        parser.error("--module needs --epochs, and no names of tasks")
    tasks = [TASKS[name] for name in asked.tasks or TASKS]
    if asked.module:
        name = asked.module.rpartition(".")[2]
        options = asked.split_option, asked.monitor, asked.mode
        tasks = [Task(name, asked.module, asked.epochs, *options)]
        sys.path.append(str(Path.cwd()))
    quiet()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*was changed: every site.*")
    with tempfile.TemporaryDirectory(prefix="judge-") as scratch:
        out = asked.out or Path(scratch)
        try:
            judged = {task.name: judge(task, asked.seeds, asked.search_seed, out) for task in tasks}
        except ActsearchError as error:
            parser.error(str(error))
    for table in (contest_table, claim_table, tally_table):
        print("", *table(judged), sep="\n")


if __name__ == "__main__":
    main()
