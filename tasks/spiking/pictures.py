"""Pictures of a spiking network.

Who fires when, what stands in for the step's derivative, where gradient arrives.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from actsearch.task.pictures import DPI, new_figure


def spike_raster(path: Path, trains: Sequence[Tensor], layers: Sequence[str]) -> None:
    """Draw a tick for every spike of one sample, the darker the larger an input that is not 0 or 1.

    Args:
        path: the PNG to write.
        trains: of the input and of every layer, ``(T, neurons)``.
        layers: names of the layers.
    """
    figure, axes = new_figure(1, len(trains), size=3.0)
    figure.set_size_inches(2.4 * len(trains), 3.6)
    for ax, train, name in zip(axes[0], trains, ["input", *layers], strict=True):
        step, neuron = train.nonzero(as_tuple=True)
        shade = (train[step, neuron] / max(1.0, float(train.max()))).tolist()
        width = 70 / len(train)  # in points: somewhat more than half of a time step
        ax.vlines(step + 1, neuron - 0.4, neuron + 0.4, linewidth=width, color="black", alpha=shade)
        fired = int((train > 0).any(0).sum())
        ax.set(title=f"{name}: {len(step)} spikes", xlabel="time step")
        ax.set_xlim(0.5, len(train) + 0.5)
        ax.set_ylabel(f"neuron ({fired} of {train.shape[1]} fire)", fontsize=9)
    figure.savefig(path, dpi=DPI)


def surrogate_curves(path: Path, sites: Sequence[nn.Module], layers: Sequence[str]) -> None:
    """Draw the derivative that each site hands backward, beside its step forward."""
    figure, axes = new_figure(1, len(sites), size=3.4)
    for ax, site, name in zip(axes[0], sites, layers, strict=True):
        device = next((p.device for p in site.parameters()), torch.device("cpu"))
        channels = next((p.numel() for p in site.parameters()), 1)
        # One column per channel, so that a sharpness of each channel is drawn too.
        x = torch.linspace(-2, 2, 401, device=device)[:, None].repeat(1, channels).requires_grad_()
        y = site(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        at = x.detach().cpu()
        ax.plot(at[:, 0], y[:, 0].detach().cpu(), color="0.6", label="forward: the step")
        labels = ["backward: its surrogate derivative"] + [""] * (channels - 1)
        ax.plot(at, slope.cpu(), color="C0", alpha=max(0.1, channels**-0.5), label=labels)
        standing = getattr(site.activation, "name", type(site.activation).__name__)
        ax.set(title=f"{name}: {standing}", xlabel="potential above threshold")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=DPI)


def gradient_over_time(path: Path, norms: Tensor, layers: Sequence[str]) -> None:
    """Draw the gradient norm of each layer at every time step, ``(layers, T)``."""
    figure, axes = new_figure(size=4.5)
    ax = axes[0, 0]
    steps = range(1, norms.shape[1] + 1)
    for norm, name in zip(norms.clamp_min(1e-12), layers, strict=True):
        ax.semilogy(steps, norm, marker="o", markersize=3, label=name)
    ax.set(xlabel="time step", ylabel="gradient norm in the potential", title="gradient over time")
    ax.legend()
    figure.savefig(path, dpi=DPI)
