"""A recurrent network with a linear head on its last steps."""

from __future__ import annotations

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch import Site
from actsearch.measures.functional.site_runs import slope_at
from actsearch.placement.initialise import NORMAL_SAMPLE
from actsearch.placement.recurrent import GRU, LSTM, RNN

Cell = Literal["rnn", "lstm", "gru"]
RecurrentInit = Literal["orthogonal", "identity", "gain", "xavier"]
CELLS: dict[Cell, type[RNN | LSTM | GRU]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class RecurrentNetwork(nn.Module):
    """Recurrent layers, and a linear head on the states of the last steps.

    In both directions, on the last state of each.

    Args:
        inputs: features of a step, or number of symbols.
        outputs: of the head.
        steps: last steps that are read, 1 where it runs in both directions.
        cell: ``rnn``, ``lstm`` or ``gru``.
        hidden: units of a layer and direction.
        layers: on top of each other.
        bidirectional: whether each layer also runs backwards.
        init: of the recurrent weights, gate by gate: :func:`start_recurrent` says what.

    Shapes:
        input ``(N, T, inputs)`` or symbols ``(N, T)``, output ``(N, steps, outputs)``.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        steps: int,
        cell: Cell,
        hidden: int,
        layers: int,
        bidirectional: bool,
        init: RecurrentInit,
    ) -> None:
        super().__init__()
        self.inputs, self.steps = inputs, steps
        self.recurrent = CELLS[cell](
            inputs, hidden, layers, batch_first=True, bidirectional=bidirectional
        )
        self.head = nn.Linear(hidden * (1 + bidirectional), outputs)
        start_recurrent(self.recurrent, init)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the head says of the last steps."""
        if x.ndim == 2:
            x = F.one_hot(x, self.inputs).to(self.head.weight.dtype)
        states, _ = self.recurrent(x)
        read = states[:, -self.steps :]
        if self.recurrent.bidirectional:
            width = self.recurrent.hidden_size
            read = torch.cat([read[..., :width], states[:, : self.steps, width:]], -1)
        return self.head(read)  # type: ignore[no-any-return]

    @property
    def sites(self) -> list[str]:
        """The paths of the sites, layer by layer."""
        return [path for path, module in self.named_modules() if isinstance(module, Site)]


@torch.no_grad()
def start_recurrent(layers: RNN | LSTM | GRU, init: RecurrentInit) -> None:
    """Draw the weights of recurrent layers; biases are 0, an LSTM's forget gate has 1.

    Args:
        layers: changed in place.
        init: ``identity`` (with ReLU: IRNN), ``xavier``, ``orthogonal``, or ``gain``, which is
            orthogonal until :func:`scale_by_gain`.

    References:
        A Simple Way to Initialize Recurrent Networks of Rectified Linear Units, Q. Le, N. Jaitly
        and G. Hinton, 2015, https://arxiv.org/abs/1504.00941
    """
    draw = {"identity": nn.init.eye_, "xavier": nn.init.xavier_uniform_}.get(
        init, nn.init.orthogonal_
    )
    for name, parameter in layers.named_parameters():
        for block in parameter.chunk(layers.gates):
            if name.startswith("weight_hh"):
                draw(block)
            elif name.startswith("weight_ih"):
                nn.init.xavier_uniform_(block)
            elif name.startswith("bias"):
                block.zero_()
        if name.startswith("bias_ih") and isinstance(layers, LSTM):
            parameter.chunk(4)[1].fill_(1.0)


@torch.no_grad()
def scale_by_gain(layers: RNN | LSTM | GRU) -> None:
    r"""Multiply recurrent weights by :math:`1/\sqrt{E[\varphi'(z)^2]}`, z standard normal.

    So gradients keep their norm from step to step where z has variance 1. Of LSTM and GRU, the
    weights of the candidate alone.
    """
    for suffix in layers.suffixes:
        site = layers.get_submodule(f"{layers.site_names[0]}_{suffix}")
        z = NORMAL_SAMPLE[:, None].expand(-1, layers.hidden_size)
        square = float(slope_at(copy.deepcopy(site).double().cpu(), z).square().mean())
        weight: Tensor = layers.get_parameter(f"weight_hh_{suffix}")
        if square:
            weight.chunk(layers.gates)[2 if layers.gates > 1 else 0].div_(square**0.5)
