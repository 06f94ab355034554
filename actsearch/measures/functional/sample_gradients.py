"""The gradient of each sample of a batch, by any model and loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.utils._pytree import tree_map

Loss = Callable[[nn.Module, Any], Tensor]
"""From a model and a batch to the loss."""


class _Loss(nn.Module):
    """A loss as the forward of a module, since ``functional_call`` calls that."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Any) -> Tensor:
        return self.loss(self.model, batch)


def sample_gradients(model: nn.Module, batch: Any, loss: Loss) -> tuple[dict[str, Tensor], Tensor]:
    """Return the gradient of each sample by the name of the parameter, and its loss.

    Args:
        model: the model; each sample is seen alone.
        batch: nested tensors ``(N, *)``.
        loss: from the model and a batch of one sample to its loss.

    Shapes:
        gradients ``(N, *)`` of parameters ``(*)``, losses ``(N,)``.
    """
    learned = {f"model.{n}": p.detach() for n, p in model.named_parameters() if p.requires_grad}
    forward = _Loss(model, loss)

    def of_one(values: dict[str, Tensor], sample: Any) -> Tensor:
        alone = tree_map(lambda tensor: tensor.unsqueeze(0), sample)
        value: Tensor = functional_call(forward, values, (alone,))
        return value

    step = vmap(grad_and_value(of_one), in_dims=(None, 0), randomness="different")
    gradients, losses = step(learned, batch)
    return {name.removeprefix("model."): g for name, g in gradients.items()}, losses
