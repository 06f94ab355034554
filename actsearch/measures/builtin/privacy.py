"""Accuracy of a model that is trained privately."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from typing_extensions import override

from actsearch.activations.base import Activation
from actsearch.errors import InvalidValueError, MeasureError
from actsearch.figure import DPI, new_figure
from actsearch.measures.batch import rows
from actsearch.measures.dp_sgd import (
    DPSGD,
    PoissonLoader,
    PrivacyBudget,
    refuse_batch_norm,
    require_opacus,
)
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.sample_gradients import sample_gradients
from actsearch.measures.measure import Measure


class Privacy(Measure):
    """Accuracy where the model is trained privately, by DP-SGD, from the start.

    ``accuracy/epsilon_E`` is the mean over several trainings that spend ε = E each, and
    ``clipped_share/epsilon_E`` the share of the gradients that were longer than ``clip``. A
    training begins with weights as ``reset_parameters`` of each layer draws them, and activations
    as they were placed; dropout is off. What was fitted to the data before, such as the scale of
    inputs, is outside of ε, and so is the choice among trainings.

    A search on classification with ``--task.privacy.epsilon`` trains all its trials so.

    Args:
        epsilons: ε of the trainings, each above 0.
        delta: δ, below 1/N; 1/(2N) where not given.
        clip: norm to which the gradient of each sample is clipped, above 0.
        seeds: trainings at each ε, at least 1.
        epochs: of a training, at least 1.
        batch_size: rows of a batch in the mean, at least 1.
        lr: learning rate of plain gradient descent, above 0.

    Raises:
        InvalidValueError: an option out of its range, or batch normalisation.
        MeasureError: a layer that cannot be drawn anew, or a loss that is not of each sample alone.
        TaskError: Opacus is not installed.

    References:
        Deep Learning with Differential Privacy, M. Abadi et al., 2016,
        https://arxiv.org/abs/1607.00133
        Tempered Sigmoid Activations for Deep Learning with Differential Privacy, N. Papernot, A.
        Thakurta, S. Song, S. Chien and Ú. Erlingsson, 2020, https://arxiv.org/abs/2007.14191
    """

    name = "privacy"
    direction = None
    needs = frozenset({"loss", "labels", "logits"})
    when = "confirm"

    def __init__(
        self,
        epsilons: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0),
        delta: float | None = None,
        clip: float = 1.0,
        seeds: int = 3,
        epochs: int = 40,
        batch_size: int = 128,
        lr: float = 0.25,
    ) -> None:
        if not epsilons or min(seeds, epochs, batch_size) < 1 or not lr > 0:
            raise InvalidValueError(
                "epsilons must be at least one, seeds, epochs and batch_size at least 1, and lr"
                f" above 0, but got {epsilons=}, {seeds=}, {epochs=}, {batch_size=}, {lr=}."
            )
        self.budgets = [PrivacyBudget(epsilon, delta, clip) for epsilon in epsilons]
        self.seeds = seeds
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        found = {}
        for budget in self.budgets:
            accuracy, clipped = self.trained(fitted, budget).mean(0).tolist()
            found[f"accuracy/epsilon_{budget.epsilon:g}"] = accuracy
            found[f"clipped_share/epsilon_{budget.epsilon:g}"] = clipped
        return found

    @override
    def check(self, fitted: Fitted) -> None:
        require_opacus()
        refuse_batch_norm(fitted.module)
        for name, part in _learning(fitted.module).items():
            if not isinstance(part, Activation) and not hasattr(part, "reset_parameters"):
                raise MeasureError(
                    "privacy must have layers with a method reset_parameters, to train from the"
                    f" start, but got {type(part).__name__} at {name!r}. Give it one."
                )
        try:
            data = _training_rows(fitted)
            few = tree_map(lambda tensor: tensor[:2], data)
            sample_gradients(fitted.module, few, lambda model, one: fitted.loss(one, model))
        except Exception as error:  # the module's own code, told with its cause
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise MeasureError(
                f"privacy must have a loss of each sample alone, but that of {fitted.name} is none:"
                f" {reason}"
            ) from error
        for budget in self.budgets:
            budget.delta_among(rows(data))

    def trained(self, fitted: Fitted, budget: PrivacyBudget) -> Tensor:
        """Return accuracy and clipped share of each training with a budget, ``(seeds, 2)``.

        Args:
            fitted: the module; its parameters are put back.
            budget: of one training.
        """
        learned = [p for p in fitted.module.parameters() if p.requires_grad]
        before = [p.detach().clone() for p in learned]
        data = _training_rows(fitted)
        try:
            found = []
            for seed in range(self.seeds):
                torch.manual_seed(seed)
                clipped = self._train(fitted, data, learned, budget)
                logits, labels = fitted.gather("logits", "labels")
                hit = (logits.argmax(1) == labels).double().mean()
                found.append(torch.tensor([float(hit), clipped], dtype=torch.float64))
            return torch.stack(found)
        finally:
            with torch.no_grad():
                for parameter, value in zip(learned, before, strict=True):
                    parameter.copy_(value)
                    for left in ("grad_sample", "summed_grad"):  # by Opacus
                        vars(parameter).pop(left, None)

    def _train(
        self, fitted: Fitted, data: Any, learned: list[nn.Parameter], budget: PrivacyBudget
    ) -> float:
        """Train from the start, and return the share of gradients that were clipped."""
        for part in _learning(fitted.module).values():
            if isinstance(part, Activation):
                part.load_state_dict(part.rebuilt().state_dict())
            else:
                part.reset_parameters()
        loader = PoissonLoader(data, self.batch_size)
        optimizer = torch.optim.SGD(learned, self.lr)
        steps = self.epochs * len(loader)
        training = DPSGD(optimizer, budget, loader.rows, self.batch_size, steps)
        for _ in range(self.epochs):
            for batch in loader:
                training.take(fitted.module, batch, lambda model, one: fitted.loss(one, model))
                training.optimizer.step()
        return training.clipped_share

    @override
    def pictures(self, fitted: Fitted, folder: Path) -> None:
        """Draw accuracy over ε: the mean of the trainings, and their deviation as a band."""
        accuracies = torch.stack([self.trained(fitted, budget)[:, 0] for budget in self.budgets])
        mean, deviation = accuracies.mean(1), accuracies.std(1, correction=0)
        epsilons = [budget.epsilon for budget in self.budgets]
        figure, ((axes,),) = new_figure(size=4.0)
        axes.fill_between(epsilons, mean - deviation, mean + deviation, alpha=0.25)
        axes.plot(epsilons, mean, marker="o")
        axes.set_xscale("log", base=2)
        axes.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
        axes.set(xlabel="ε", ylabel="accuracy", title=f"{self.seeds} trainings each")
        figure.savefig(folder / "privacy.png", dpi=DPI)


def _learning(model: nn.Module) -> dict[str, Any]:
    """Return the modules that have parameters of their own that are learned, by path."""
    return {
        name: part
        for name, part in model.named_modules()
        if any(p.requires_grad for p in part.parameters(recurse=False))
    }


def _training_rows(fitted: Fitted) -> Any:
    """Return all training batches as one."""
    return tree_map(lambda *parts: torch.cat(parts), *fitted.batches("train"))
