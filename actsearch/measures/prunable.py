"""The units of a trained classifier: what there is to know of each, and the model without some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch.errors import MeasureError
from actsearch.measures.batch import arguments
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.site_runs import slope_at
from actsearch.measures.functional.weight_gradients import squared_weight_gradients
from actsearch.measures.returned_logits import check_returned_logits
from actsearch.measures.watched import noting

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)


@dataclass(frozen=True)
class Units:
    """The units of one layer, each value ``(units,)``.

    Args:
        site: name of the site behind the layer.
        saliency: mean squared gradient of the loss by the weights and the bias of a unit.
        jacobian: likewise, of all logits.
        activation: mean squared derivative of the activation, of ReLU the probability p that the
            unit is on, with a slope α below 0 p + (1 - p) α².
        norm: Euclidean norm of the weights.
        output: mean of what leaves the site.
    """

    site: str
    saliency: Tensor
    jacobian: Tensor
    activation: Tensor
    norm: Tensor
    output: Tensor


class PrunableNetwork:
    """A fitted classifier of which units can be taken away.

    A unit is an output of a dense layer or a channel of a convolution, with a site behind: the
    first that runs before another such layer does. A unit that is taken away gives its mean
    instead, which (but for padding) could as well stand in the biases behind.

    Args:
        fitted: the module; it need not be trained yet, and stays as it is.
        what: asks for it; begins each message.

    Raises:
        MeasureError: the model is not from one tensor to the logits, or has no such layer.
    """

    def __init__(self, fitted: Fitted, what: str) -> None:
        check_returned_logits(fitted, what)
        self._fitted = fitted
        self.model, self._watched = fitted.watched
        self.model.eval()
        self._layers = self._pairs()
        if not self._layers:
            raise MeasureError(
                f"{what} must have a dense layer or a convolution, a site behind it, and another"
                f" layer behind that, but {fitted.name} has none. Choose another model."
            )

    def units(self, rows: int) -> list[Units]:
        """Return what is known of the units of each layer.

        Args:
            rows: labelled training rows that are looked at, at most.
        """
        sums: dict[str, list[Tensor]] = {site: [] for site in self._layers}
        count = 0
        for batch in self._fitted.batches("labelled"):
            x, y = self._input(batch)[: rows - count], self._fitted.labels(batch)[: rows - count]
            for site, found in self._of_batch(x, y).items():
                sums[site].append(found * len(x))
            count += len(x)
            if count >= rows:
                break
        units: list[Units] = []
        for site, path in self._layers.items():
            saliency, jacobian, activation, output = torch.stack(sums[site]).sum(0) / count
            norm = self._module(path).weight.detach().double().flatten(1).norm(dim=1).cpu()
            name = self._watched[site].site.name
            units.append(Units(name, saliency, jacobian, activation, norm, output))
        return units

    @torch.no_grad()
    def accuracy(self, kept: Sequence[Tensor], units: Sequence[Units]) -> float:
        """Return the accuracy on the measured split without some units.

        Args:
            kept: of each layer, which units stay, ``(units,)``.
            units: those of each layer.
        """
        right: list[Tensor] = []
        with self._without(kept, units):
            for batch in self._fitted.batches():
                logits = self.model(self._input(batch))
                right.append(logits.argmax(1) == self._fitted.labels(batch))
        return float(torch.cat(right).double().mean())

    def retrained_accuracy(
        self, kept: Sequence[Tensor], units: Sequence[Units], epochs: int, lr: float
    ) -> float:
        """Return the accuracy after training on without some units; weights are put back.

        Args:
            kept: as for :meth:`accuracy`.
            units: as for :meth:`accuracy`.
            epochs: passes through the training batches, by Adam on the training loss.
            lr: its learning rate.
        """
        learned = [p for p in self.model.parameters() if p.requires_grad]
        before = [p.detach().clone() for p in learned]
        optimiser = torch.optim.Adam(learned, lr=lr)
        try:
            with self._without(kept, units):
                for _ in range(epochs):
                    for batch in self._fitted.batches("train"):
                        optimiser.zero_grad()
                        self._fitted.loss(batch, self.model).backward()
                        optimiser.step()
            return self.accuracy(kept, units)
        finally:
            with torch.no_grad():
                for parameter, value in zip(learned, before, strict=True):
                    parameter.copy_(value)

    def _input(self, batch: Any) -> Tensor:
        given, named = arguments(self._fitted.module, batch)
        x: Tensor = (*given, *named.values())[0]
        return x

    def _module(self, path: str) -> Any:
        return self.model.get_submodule(path)

    def _pairs(self) -> dict[str, str]:
        """Return the layer of each site with units that can be taken away, both by path."""
        layers = [p for p, m in self.model.named_modules() if isinstance(m, _LAYERS)]
        ran: list[tuple[str, torch.Size]] = []  # with the shape of what left it
        with ExitStack() as handles, torch.no_grad():
            for path in (*layers, *self._watched):
                hook = self._module(path).register_forward_hook(
                    lambda *of, path=path: ran.append((path, of[2].shape))
                )
                handles.callback(hook.remove)
            self.model(self._input(self._fitted.first()))
        found: dict[str, str] = {}
        layer, shape, site = "", torch.Size(), ""
        for path, result in ran:
            if path in self._watched:
                site = site or (path if layer and result == shape else "")
            else:
                if site and _is_prunable(self._module(layer)):
                    found[site] = layer
                layer, shape, site = path, result, ""
        return found

    def _of_batch(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the means of a batch by site, ``(4, units)``: all of :class:`Units` but norms."""
        ran: dict[str, tuple[Tensor, Tensor]] = {}
        entered: dict[str, list[Tensor]] = {}
        with ExitStack() as handles, torch.enable_grad():
            handles.enter_context(noting(self.model, self._layers, entered))
            for path in self._layers.values():

                def note(_: nn.Module, taken: tuple[Tensor, ...], out: Tensor, path: str) -> Tensor:
                    out = out if out.requires_grad else out.detach().requires_grad_()
                    ran[path] = taken[0].detach(), out
                    return out.clone()  # an activation may work in place

                hook = self._module(path).register_forward_hook(partial(note, path=path))
                handles.callback(hook.remove)
            logits = self.model(x)
            outputs = [ran[path][1] for path in self._layers.values()]
            # Of random signs, products of two different logits' gradients have mean 0.
            signs = 2.0 * torch.randint(2, logits.shape, device=logits.device) - 1
            scores = F.cross_entropy(logits, labels, reduction="sum"), (signs * logits).sum()
            gradients = [
                torch.autograd.grad(score, outputs, retain_graph=True, materialize_grads=True)
                for score in scores
            ]
        found = {}
        for (site, path), *deltas in zip(self._layers.items(), *gradients, strict=True):
            layer, z = self._module(path), entered[site][-1]  # as of its layer, the last run
            function = self._watched[site].function
            rows = [squared_weight_gradients(layer, ran[path][0], d).mean(0) for d in deltas]
            for values in (slope_at(function, z).square(), function(z.clone()).detach()):
                rows.append(values.movedim(_channels(layer), 0).flatten(1).mean(1))
            found[site] = torch.stack(rows).double().cpu()
        return found

    @contextmanager
    def _without(self, kept: Sequence[Tensor], units: Sequence[Units]) -> Iterator[None]:
        """Have sites give the mean in place of units that are not kept."""
        with ExitStack() as handles:
            for (site, path), keep, own in zip(self._layers.items(), kept, units, strict=True):
                replace = partial(_replaced, keep, own.output, _channels(self._module(path)))
                hook = self._module(site).register_forward_hook(replace)
                handles.callback(hook.remove)
            yield


def _is_prunable(layer: nn.Module) -> bool:
    return getattr(layer, "padding_mode", "zeros") == "zeros"


def _channels(layer: nn.Module) -> int:
    """Return the dimension of the units in what leaves a layer."""
    return -1 if isinstance(layer, nn.Linear) else 1


def _replaced(
    keep: Tensor, instead: Tensor, dimension: int, _: nn.Module, __: Any, out: Tensor
) -> Tensor:
    """Return what leaves a site, with the units that are not kept replaced."""
    last = out.movedim(dimension, -1)
    return torch.where(keep.to(out.device), last, instead.to(out)).movedim(-1, dimension)
