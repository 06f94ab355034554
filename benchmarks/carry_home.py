"""What a search finds, in the user's own training.

Three own modules as they are against what the search's ending says:

    OMP_NUM_THREADS=1 python benchmarks/carry_home.py          # all three
    OMP_NUM_THREADS=1 python benchmarks/carry_home.py waves    # one

All three take six minutes on two idle cores.

Each search is `actsearch.run_search(Module, trials=30, jobs=2)` with the number of epochs that the
user trains with. Then the module trains without any of it, by Lightning's trainer alone: as it is,
as the ending says (README's lines for a winner, "keep your relu, at 3 times your learning rate"
otherwise), and as one would by hand: the best of the learning rates and ten famous activations. All
on the same 12 seeds, each with a split of its own that the search has never used.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from scipy import stats
from sklearn.datasets import load_sample_image, make_friedman1
from torch import Tensor, nn

import actsearch
from actsearch.search.confirm.racing import Comparison
from actsearch.search.study.record import StudyRun, result_of
from actsearch.search.study.store import Store
from actsearch.search.training.train import quiet
from actsearch.tracking.ladder import ladder

SEEDS = 12
FIRST_SPLIT = 2**40
"""The first split of the re-test: those of a search are below 2³¹."""

BY_HAND = 4, 10
"""Trainings of who tunes the learning rate and then tries the famous activations, once each."""

Contestant = Callable[[int], L.LightningModule]
"""Builds a fresh module on a split."""


class Own(L.LightningModule):
    """What the three modules share: rows divided by ``split_seed``, Adam, a loss of each part."""

    epochs = 0
    batch_size = 32
    lr = 1e-3

    def __init__(self, split_seed: int, x: np.ndarray, y: Tensor) -> None:
        super().__init__()
        rows = torch.as_tensor(np.random.default_rng(split_seed).permutation(len(x)))
        train, validation = int(0.6 * len(rows)), int(0.8 * len(rows))
        self.parts = rows[:train], rows[train:validation], rows[validation:]
        inputs = torch.as_tensor(x, dtype=torch.float32)
        self.rows = torch.utils.data.TensorDataset(inputs, y)

    def loss(self, batch: Any) -> Tensor:
        """Return the mean squared error."""
        x, y = batch
        return nn.functional.mse_loss(self(x), y)

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Return the loss."""
        return self.loss(batch)

    def validation_step(self, batch: Any, index: int) -> None:
        """Log the loss."""
        self.log("val_loss", self.loss(batch))

    def test_step(self, batch: Any, index: int) -> None:
        """Log the loss."""
        self.log("test_loss", self.loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def _loader(self, part: int) -> torch.utils.data.DataLoader[Any]:
        rows = torch.utils.data.Subset(self.rows, self.parts[part].tolist())
        return torch.utils.data.DataLoader(
            rows, self.batch_size if part == 0 else len(rows), shuffle=part == 0
        )

    def train_dataloader(self) -> torch.utils.data.DataLoader[Any]:
        """Return 60 % of the rows."""
        return self._loader(0)

    def val_dataloader(self) -> torch.utils.data.DataLoader[Any]:
        """Return 20 % of the rows."""
        return self._loader(1)

    def test_dataloader(self) -> torch.utils.data.DataLoader[Any]:
        """Return 20 % of the rows."""
        return self._loader(2)


class Table(Own):
    """Friedman's first function of ten columns, five of them noise.

    500 rows, a network of two hidden layers.
    """

    epochs = 30

    def __init__(self, split_seed: int = 0) -> None:
        x, y = make_friedman1(500, noise=1.0, random_state=0)
        super().__init__(
            split_seed,
            2 * x - 1,
            torch.as_tensor((y - y.mean()) / y.std(), dtype=torch.float32)[:, None],
        )
        self.net = nn.Sequential(
            nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the prediction."""
        return self.net(x)


class Waves(Own):
    """Four shapes of waves in noise, and a convolutional network in one dimension.

    600 waves of 64 samples.
    """

    epochs = 20

    def __init__(self, split_seed: int = 0) -> None:
        draw = np.random.default_rng(0)
        label = np.arange(600) % 4
        phase = draw.uniform(2, 5, (600, 1)) * np.linspace(0, 2 * np.pi, 64) + draw.uniform(
            0, 2 * np.pi, (600, 1)
        )
        shapes = (
            np.sin(phase),
            np.sign(np.sin(phase)),
            np.arcsin(np.sin(phase)) / 1.571,
            np.mod(phase / np.pi, 2) - 1,
        )
        wave = np.stack(shapes)[label, np.arange(600)] + draw.normal(0, 0.3, (600, 64))
        super().__init__(split_seed, wave[:, None], torch.as_tensor(label))
        self.features = nn.Sequential(
            nn.Conv1d(1, 16, 5),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(16, 32, 5),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(4),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))

    def loss(self, batch: Any) -> Tensor:
        """Return the cross-entropy."""
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)


class Photograph(Own):
    """A photograph as a function of the coordinates.

    48 × 48 grey values, a network of three hidden layers.
    """

    epochs = 30
    batch_size = 64

    def __init__(self, split_seed: int = 0) -> None:
        grey = torch.as_tensor(
            load_sample_image("china.jpg").mean(-1) / 127.5 - 1, dtype=torch.float32
        )[None, None]
        value = nn.functional.interpolate(grey, (48, 48), mode="area").view(-1, 1)
        axis = np.linspace(-1, 1, 48)
        super().__init__(
            split_seed, np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2), value
        )
        self.net = nn.Sequential(
            nn.Linear(2, 64),
            nn.ReLU(),
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Linear(64, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the grey value."""
        return self.net(x)


MODULES: dict[str, type[Own]] = {"table": Table, "waves": Waves, "photograph": Photograph}


def as_it_is(module: type[Own], split: int) -> Own:
    """Return the module as its author has it."""
    return module(split_seed=split)


def at_rate(module: type[Own], factor: float, split: int) -> Own:
    """Return the module at another learning rate."""
    built = module(split_seed=split)
    built.lr *= factor
    return built


def reused(module: type[Own], placement: actsearch.Placement, split: int) -> Own:
    """Return the module with README's lines in it.

    One is in its constructor, one in ``configure_optimizers``.
    """

    class Reused(module):  # type: ignore[misc, valid-type]  # what the user would edit
        def __init__(self, split_seed: int) -> None:
            super().__init__(split_seed)
            placement.apply(self)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(placement.optimizer_parameters(self, lr=self.lr))

    return Reused(split_seed=split)


def train(build: Contestant, seed: int, split: int) -> float:
    """Train as a user does, and return the loss on the test rows."""
    L.seed_everything(seed, verbose=False)
    module = build(split)
    trainer = L.Trainer(
        max_epochs=module.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module)
    return float(trainer.test(module, verbose=False)[0]["test_loss"])


class Paired:
    """Paired differences of two contestants, positive where the second has less loss."""

    def __init__(self, before: Sequence[float], after: Sequence[float]) -> None:
        differences = np.subtract(before, after)
        self.gain = float(differences.mean())
        error = float(stats.sem(differences))
        half = float(stats.t.ppf(0.975, len(differences) - 1)) * error
        self.low, self.high = self.gain - half, self.gain + half
        self.p = float(stats.ttest_rel(before, after).pvalue) if error else 1.0

    def __str__(self) -> str:
        return f"{self.gain:+.4f} [{self.low:+.4f}, {self.high:+.4f}] p = {self.p:.2g}"


def advised(
    module: type[Own], found: actsearch.SearchResult
) -> tuple[str, Contestant, Comparison | None]:
    """Return what the ending says: in words, as a contestant, and as the gain that it claims.

    The gain is that over the module as it is.
    """
    measured = found.confirmation
    assert measured is not None
    if found.verdict == "better":
        claim = measured.over_untouched or measured.winner[1]
        return f"reuse {words(found.best)}", functools.partial(reused, module, found.best), claim
    if measured.rate is not None and measured.rate.verdict == "better":
        factor = measured.factors["0"]
        return (
            f"keep relu, at {factor:.3g} times the rate",
            functools.partial(at_rate, module, factor),
            measured.rate,
        )
    return "keep all as it is", functools.partial(as_it_is, module), None


def words(placement: actsearch.Placement) -> str:
    """Return a placement in a line."""
    names = dict.fromkeys(entry.activation for entry in placement.sites.values())
    return f"{', '.join(names)} at {placement.learning_rate_factor:.3g} times the rate"


def by_hand(run: StudyRun) -> tuple[str, actsearch.Placement]:
    """Return the best of the trials that one would make by hand."""
    best = next(t for t in run.ranked() if t.user_attrs["stage"] in ("baseline", "famous"))
    placement = run.placement(best) or actsearch.Placement(sites={})
    placement = placement.model_copy(update={"learning_rate_factor": run.factor(best)})
    return (
        words(placement) if placement.sites else f"relu at {run.factor(best):.3g} times the rate"
    ), placement


def costs(run: StudyRun, own: float) -> str:
    """Return the CPU seconds of the search, and those of the same by hand.

    By hand, one tunes the rate and tries ten famous activations once.

    Args:
        run: the study.
        own: CPU seconds of the process that runs it.
    """
    rungs = {rung.name: rung for rung in ladder(run)}
    baseline = [rungs[name] for name in ("as it is", "rate tuned") if name in rungs]
    trainings_of_baseline = 3 * sum(rung.trials for rung in baseline)  # each on three seeds
    each = sum(rung.cpu for rung in baseline) / trainings_of_baseline
    famous = rungs["famous"].cpu / rungs["famous"].trials
    hand = BY_HAND[0] * each + BY_HAND[1] * famous
    trainings = sum(rung.cpu for rung in rungs.values())
    parts = ", ".join(f"{rung.name} {rung.cpu:.0f} ({rung.trials})" for rung in rungs.values())
    return (
        f"CPU s: search {trainings:.0f} in trainings + {own:.0f} of its own, by hand {hand:.0f};"
        f" {parts}"
    )


def compare(name: str, **search: int) -> None:
    """Search, train again without the search, and print what came of it."""
    module = MODULES[name]
    begin, before = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="carry-home-") as folder:
        found = actsearch.run_search(
            module, jobs=2, store=folder, config={"trainer.max_epochs": module.epochs}, **search
        )
        searched, own = time.perf_counter() - begin, time.process_time() - before
        run = StudyRun.load(Store(folder), found.study)
        what, advice, claim = advised(module, found)
        hand, placement = by_hand(run)
        print(f"\n{name}: {len(found.trials)} trials, {searched:.0f} s\n{costs(run, own)}")
        failed = [result_of(t).reason for t in found.trials if t.state.name == "FAIL"]
        print(f"failed: {len(failed)} {failed[:3] or ''}")
    assert found.confirmation is not None
    print(found.confirmation.verdict())
    if (rate := found.confirmation.rate) is not None:
        print(
            f"the tuned rate alone, over the module as it is: {rate.gain:+.4f} [{rate.low:+.4f},"
            f" {rate.high:+.4f}]"
        )
    print(found.advice)
    quiet()
    contestants: dict[str, Contestant] = {
        "as it is": functools.partial(as_it_is, module),
        what: advice,
        f"by hand: {hand}": functools.partial(reused, module, placement),
    }
    scores = {
        label: [train(build, 10_000 + index, FIRST_SPLIT + index) for index in range(SEEDS)]
        for label, build in contestants.items()
    }
    print(
        f"\ntest loss on {SEEDS} fresh seeds, each with a fresh split; gain over the module as it"
        " is, 95 % interval, p"
    )
    for label, values in scores.items():
        paired = Paired(scores["as it is"], values)
        print(
            f"  {label:64s} {np.mean(values):.4f}  "
            f" {paired if values is not scores['as it is'] else ''}"
        )
    measured = Paired(scores["as it is"], scores[what])
    print(
        f"  {'the ending against by hand':64s} {'':6s}  "
        f" {Paired(list(scores.values())[-1], scores[what])}"
    )
    print(f"never worse: {not measured.high < 0}")
    if claim is None:
        print("the search claims no gain")
        return
    inside = measured.low <= claim.gain <= measured.high
    overlap = max(measured.low, claim.low) <= min(measured.high, claim.high)
    print(f"the search's claim: {claim.gain:+.4f} [{claim.low:+.4f}, {claim.high:+.4f}]")
    print(f"inside of the measured interval: {inside}; the intervals overlap: {overlap}")


def main() -> None:
    """Run the asked or all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MODULES)}; all by default")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", ".*not confirmed as better.*")
    warnings.filterwarnings("ignore", ".*was changed: the placement has no sites.*")
    torch.set_num_threads(1)
    begin = time.perf_counter()
    for name in asked.names or MODULES:
        compare(name, trials=asked.trials, seed=asked.seed)
    print(f"\n{time.perf_counter() - begin:.0f} s in all")


if __name__ == "__main__":
    main()
