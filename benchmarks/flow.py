"""Two moons: a searched placement against zuko's neural spline flow, in one run.

    python benchmarks/flow.py [--seeds 3] [--trials 12]

Both have the same number of parameters.

Two sizes. Small: the linear flow, whose elementwise bijection is searched. Large: the
autoregressive spline flow, which is zuko's neural spline flow with the activation of its
conditioner searched. Both sides see the same splits, epochs, optimiser and clipping; zuko's flow is
also given the better of two learning rates and, where several shapes fit, of several shapes, judged
on the validation split. Its parameter count is never below that of the searched one.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable, Iterable
from statistics import mean, stdev
from typing import Any

import lightning as L
import torch
import zuko
from torch import Tensor, nn

from actsearch import run_search
from actsearch_tasks.flow import Flow

EPOCHS = 60


class Zuko(nn.Module):
    """Zuko's neural spline flow as the task's flow."""

    def __init__(self, transforms: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.nsf = zuko.flows.NSF(
            features=2, bins=8, transforms=transforms, hidden_features=(hidden,) * layers
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the log-density."""
        return self.nsf().log_prob(x)

    def distribution(self) -> Any:
        """Return the distribution."""
        return self.nsf()


def count(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())


def train(seed: int, change: Callable[[Flow], None], **options: Any) -> tuple[float, float]:
    """Return the log-likelihoods of validation and test, in nats."""
    L.seed_everything(seed, verbose=False)
    task = Flow(**options)
    change(task)
    off = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = L.Trainer(
        max_epochs=EPOCHS, gradient_clip_val=5.0, accelerator="cpu", num_sanity_val_steps=0, **off
    )
    trainer.fit(task)
    found = float(trainer.callback_metrics["val_log_likelihood"])
    return found, trainer.test(task, verbose=False)[0]["test_log_likelihood"]


def best_of_zuko(shapes: Iterable[tuple[int, int, int]]) -> tuple[tuple[int, int, int], float]:
    """Return the shape and the learning rate of the best validation likelihood.

    A shape is (transforms, hidden, layers).
    """
    scores = {}
    for shape in shapes:
        for lr in (3e-3, 1e-2):
            scores[shape, lr] = train(0, put(shape), lr=lr)[0]
            print(f"  zuko {shape}, lr {lr}: validation {scores[shape, lr]:.3f}", flush=True)
    return max(scores, key=lambda key: scores[key])


def put(shape: tuple[int, int, int]) -> Callable[[Flow], None]:
    """Return what puts zuko's flow into the task."""

    def change(task: Flow) -> None:
        task.flow = Zuko(*shape)  # type: ignore[assignment]  # the same two methods

    return change


def compare(title: str, space: str, trials: int, seeds: int, layers: int, **options: Any) -> None:
    """Search, then train both sides with every seed, and print their test log-likelihoods."""
    config = {f"task.{key}": value for key, value in options.items()} | {
        "trainer.max_epochs": EPOCHS
    }
    with tempfile.TemporaryDirectory() as store:
        result = run_search(
            "flow",
            space,
            trials=trials,
            store=store,
            config=config,
            granularity="model",
            executor="inline",
        )
    placement = result.best
    example = Flow(**options)
    placement.apply(example, example.example_input_array)
    size = count(example)
    print(
        f"{title}: searched {next(iter(placement.sites.values())).model_dump(exclude_none=True)},"
        f" {size} parameters"
    )
    steps = (1, 2, 3) if layers == 1 else (3,)
    sizes = {(t, h, layers): count(Zuko(t, h, layers)) for t in steps for h in range(1, 80)}
    nearest = {
        t: min((s for s in sizes if s[0] == t and sizes[s] >= size), key=sizes.__getitem__)
        for t in steps
    }
    shape, lr = best_of_zuko(nearest.values())
    ours = [train(s, lambda task: apply(placement, task), **options)[1] for s in range(seeds)]
    theirs = [train(s, put(shape), lr=lr)[1] for s in range(seeds)]
    for name, values, parameters in (("searched", ours, size), ("zuko NSF", theirs, sizes[shape])):
        spread = stdev(values) if seeds > 1 else 0.0
        print(
            f"{title:8} {name:9} {parameters:6d} parameters: test {mean(values):.3f} ± {spread:.3f}"
            " nats",
            flush=True,
        )


def apply(placement: Any, task: Flow) -> None:
    """Put the searched placement into a fresh task."""
    placement.apply(task, task.example_input_array)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--only", choices=("small", "large"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    if arguments.only != "large":
        compare("small", "bijections", arguments.trials, arguments.seeds, layers=1)
    if arguments.only != "small":
        compare(
            "large",
            "smooth",
            arguments.trials,
            arguments.seeds,
            layers=2,
            architecture="autoregressive",
            univariate="spline",
        )
