"""What each contestant finds for a module: run by the judge, in a process for each.

All but ``actsearch`` train by Lightning alone. What they find is a placement; one without sites
keeps the module's own activations.
"""

from __future__ import annotations

import contextlib
import json
import math
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import torch
from judge_training import Task, validated

from actsearch import Placement, SearchSpace, find_sites
from actsearch.errors import RequirementError
from actsearch.placement import Sites
from actsearch.placement.files import write_text
from actsearch.search.loop.phases import FAMOUS, HIGHEST, LOWEST, next_factor
from actsearch.search.space.choices import bind
from actsearch.search.training.inspect_model import example_input
from actsearch.search.training.train import quiet

if TYPE_CHECKING:
    from actsearch.run import SearchResult

RIVAL = "ten famous"
"""What a good engineer does by hand: tunes the learning rate, then tries ten activations."""

Found = tuple[Placement, dict[str, Any]]
"""A placement, and what is claimed of it: nothing but by ``actsearch``."""


def loss(task: Task, placement: Placement, seed: int) -> float:
    """Return what a training comes to in validation, smaller is better; infinite if it diverged."""
    value = -task.sign * validated(task, placement, seed)
    return value if math.isfinite(value) else math.inf


def at_rate(factor: float) -> Placement:
    """Return the module's own activations at another learning rate."""
    return Placement(sites={}, learning_rate_factor=factor)


def open_sites(task: Task) -> Sites:
    """Return the module's sites."""
    module = task.build()
    return find_sites(module, example_input(module, None, None)).open


def ladder(task: Task, seed: int) -> dict[float, float]:
    """Return the loss at each factor on the learning rate that a hand would try, once each."""
    losses: dict[float, float] = {}
    while (factor := next_factor(losses)) is not None:
        losses[factor] = loss(task, at_rate(factor), seed)
    return losses


def tuned(task: Task, seed: int) -> Found:
    """Tune the learning rate."""
    losses = ladder(task, seed)
    return at_rate(min(losses, key=lambda factor: losses[factor])), {}


def ten_famous(task: Task, seed: int) -> Found:
    """Tune the learning rate, then try the famous activations at that, each once everywhere."""
    losses = ladder(task, seed)
    factor = min(losses, key=lambda factor: losses[factor])
    tried = [(losses[factor], at_rate(factor))]
    sites = open_sites(task)
    for name in FAMOUS:
        if {site.activation for site in sites} == {name}:
            continue  # trained already
        placement = Placement.uniform(name, sites).model_copy(
            update={"learning_rate_factor": factor}
        )
        with contextlib.suppress(RequirementError):
            tried.append((loss(task, placement, seed), placement))
    return min(tried, key=lambda one: one[0])[1], {}


def optuna_search(task: Task, seed: int, budget: float, sampler: Any) -> Found:
    """Search what actsearch searches, with the learning rate, until the CPU seconds are spent.

    The activations of each site are chosen apart; the first trial is the module as it is.
    """
    content = SearchSpace.load("general").model_dump() | {"granularity": "layer"}
    space = bind(SearchSpace.model_validate(content), open_sites(task))

    def train(trial: optuna.Trial) -> float:
        factor = trial.suggest_float("learning_rate_factor", LOWEST, HIGHEST, log=True)
        placement = space.suggest(trial).model_copy(update={"learning_rate_factor": factor})
        trial.set_user_attr("placement", placement.model_dump_json(by_alias=True))
        return loss(task, placement, seed)

    def stop(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if spent() >= budget:
            study.stop()

    study = optuna.create_study(sampler=sampler)
    if (own := space.own()) is not None:
        study.enqueue_trial(own | {"learning_rate_factor": 1.0})
    study.optimize(train, callbacks=[stop], catch=(Exception,))
    return Placement.model_validate_json(study.best_trial.user_attrs["placement"]), {}


def spent() -> float:
    """Return the CPU seconds of this process and of those that it has started and that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def tpe(task: Task, seed: int, budget: float) -> Found:
    """Search by Optuna's TPE."""
    return optuna_search(task, seed, budget, optuna.samplers.TPESampler(seed=seed))


def at_random(task: Task, seed: int, budget: float) -> Found:
    """Search at random."""
    return optuna_search(task, seed, budget, optuna.samplers.RandomSampler(seed=seed))


def search(task: Task, seed: int) -> Found:
    """Run a search as it is by default, one training at a time, and do what its ending says."""
    from actsearch import run_search  # here, so that the others do not pay for it

    with tempfile.TemporaryDirectory(prefix="judge-") as store:
        found = run_search(
            task.module,
            store=store,
            seed=seed,
            jobs=1,
            monitor=task.monitor,
            mode=task.mode,
            split_option=f"task.{task.split_option}",
            config={"trainer.max_epochs": task.epochs},
        )
    return ending(found)


def ending(found: SearchResult) -> Found:
    """Return what a search's ending says to use, and the gain over the module that it claims."""
    claim: dict[str, Any] = {"verdict": found.verdict, "advice": found.advice}
    measured = found.confirmation
    if measured is None:
        return at_rate(1.0), claim
    if found.verdict == "better":
        gain, placement = measured.over_untouched or measured.winner[1], found.best
    elif measured.rate is not None and measured.rate.verdict == "better":
        gain, placement = measured.rate, at_rate(measured.factors["0"])
        claim["verdict"] = "better by the rate alone"
    else:
        return at_rate(1.0), claim
    return placement, claim | {"gain": gain.gain, "low": gain.low, "high": gain.high}


PLAIN: dict[str, Callable[[Task, int], Found]] = {
    "actsearch": search,
    "tuned": tuned,
    RIVAL: ten_famous,
}
"""Those that end by themselves, ``actsearch`` first: what it takes is the others' budget."""

BUDGETED: dict[str, Callable[[Task, int, float], Found]] = {"tpe": tpe, "random": at_random}
"""Those that go on until the CPU time of ``actsearch`` is spent."""


def main() -> None:
    """Run a contestant, and write its placement and what it claims.

    The arguments are those of :func:`command`.
    """
    name, task, seed, budget, placement, claim = sys.argv[1:]
    given = Task(**json.loads(task)), int(seed)
    torch.set_num_threads(1)
    quiet()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", ".*was changed: every site.*")
    found, claimed = PLAIN[name](*given) if name in PLAIN else BUDGETED[name](*given, float(budget))
    found.save(placement)
    write_text(Path(claim), json.dumps(claimed) + "\n")


def command(
    name: str, task: Task, seed: int, budget: float, placement: Path, claim: Path
) -> list[str]:
    """Return the command that runs a contestant.

    Args:
        name: of the contestant.
        task: what it searches.
        seed: of all that it does.
        budget: CPU seconds, for those that do not end by themselves.
        placement: the file for what it finds.
        claim: the file for what it claims.
    """
    text = json.dumps(asdict(task))
    return [sys.executable, __file__, name, text, *map(str, (seed, budget, placement, claim))]


if __name__ == "__main__":
    main()
