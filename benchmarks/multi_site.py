"""Which activation at each of five layers: ours after 40 trainings, TPE after 200, all real.

    python benchmarks/multi_site.py                 # five seeds: some ten minutes on one core

The problem: a perceptron with five hidden layers of 32 on 300 digits, 24 activations at each layer
(24⁵, about eight million placements), scored by its accuracy on the other 1,497.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from actsearch.activations import activation
from actsearch.search import FunctionSpaceSampler

SITES = 5
WIDTH = 32
EPOCHS = 20
CANDIDATES = """
    relu leaky_relu elu selu gelu silu mish softplus tanh sigmoid softsign hardswish
    squared_relu erf arcsinh tanhshrink identity square log1pabs gaussian abs sine cosine cube(x)
""".split()  # noqa: SIM905  # two lines instead of 24

CONTESTANTS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "function_space": lambda seed: FunctionSpaceSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}


def data() -> tuple[Tensor, Tensor]:
    """Return the digits, standardised, in a fixed random order."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    inputs = torch.tensor(x[order] / 16, dtype=torch.float32)
    return (inputs - inputs[:300].mean()) / inputs[:300].std(), torch.tensor(y[order])


def train(names: tuple[str, ...], x: Tensor, y: Tensor) -> float:
    """Train one network and return its accuracy.

    The weights begin the same whatever the activations.
    """
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i, name in enumerate(names):
        layers += [nn.Linear(64 if i == 0 else WIDTH, WIDTH), activation(name, learn=())]
    model = nn.Sequential(*layers, nn.Linear(WIDTH, 10))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(300).split(30):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            if not bool(loss.isfinite()):
                return 0.0
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        return float((model(x[300:]).argmax(1) == y[300:]).float().mean())


def main() -> None:
    """Run every sampler with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--trainings", nargs="+", default=["function_space=60", "tpe=200"], metavar="SAMPLER=COUNT"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--file", type=Path, default=Path("multi_site.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    x, y = data()
    known: dict[tuple[str, ...], float] = {}  # the same placement trains to the same score
    curves: dict[str, list[list[float]]] = {}

    def objective(trial: optuna.Trial) -> float:
        names = tuple(trial.suggest_categorical(f"layer{i}", CANDIDATES) for i in range(SITES))
        if names not in known:
            known[names] = train(names, x, y)
        return known[names]

    for text in options.trainings:
        name, _, count = text.partition("=")
        start = time.perf_counter()
        for seed in range(options.seeds):
            study = optuna.create_study(direction="maximize", sampler=CONTESTANTS[name](seed))
            study.optimize(objective, n_trials=int(count))
            curves.setdefault(name, []).append([trial.value or 0.0 for trial in study.trials])
            options.file.write_text(json.dumps(curves), encoding="utf-8")
        best = np.maximum.accumulate(np.array(curves[name]), axis=1)
        marks = [mark for mark in (10, 20, 40, 60, 100, 200) if mark <= int(count)]
        shown = ", ".join(f"{best[:, mark - 1].mean():.4f} after {mark}" for mark in marks)
        print(
            f"{name}: mean best accuracy {shown} ({time.perf_counter() - start:.0f} s)", flush=True
        )


if __name__ == "__main__":
    main()
