"""Pictures of a spiking network: who fires when, what stands in for the step's derivative, where gradient arrives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from tasks._pictures import new_figure


def spike_raster(path: Path, trains: Sequence[Tensor], layers: Sequence[str]) -> None:
    """Draw a dot for every spike of one sample.

    Args:
        path: the PNG to write.
        trains: of the input and of every layer, ``(T, neurons)``.
        layers: names of the layers.
    """
    figure, axes = new_figure(len(trains), 1, size=2.4)
    figure.set_size_inches(7, 2.4 * len(trains))
    for ax, train, name in zip(axes[:, 0], trains, ["input", *layers], strict=True):
        step, neuron = train.nonzero(as_tuple=True)
        size = 8 * train[step, neuron] / max(1.0, float(train.max()))
        ax.scatter(step + 1, neuron, s=size, marker="s", linewidths=0, color="black")
        ax.set(ylabel="neuron", title=f"{name}: {int((train > 0).sum())} spikes", xlim=(0.5, len(train) + 0.5))
    axes[-1, 0].set_xlabel("time step")
    figure.savefig(path, dpi=120)


def surrogate_curves(path: Path, sites: Sequence[nn.Module], layers: Sequence[str]) -> None:
    """Draw the derivative that each site hands backward, beside the step that it computes forward."""
    figure, axes = new_figure(1, len(sites), size=3.4)
    for ax, site, name in zip(axes[0], sites, layers, strict=True):
        device = next((p.device for p in site.parameters()), torch.device("cpu"))
        channels = next((p.numel() for p in site.parameters()), 1)
        # One column per channel, so that a sharpness of each channel is drawn too.
        x = torch.linspace(-2, 2, 401, device=device)[:, None].repeat(1, channels).requires_grad_()
        y = site(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        at = x.detach().cpu()
        ax.plot(at[:, 0], y[:, 0].detach().cpu(), color="0.6", label="forward")
        ax.plot(at, slope.cpu(), color="C0", alpha=max(0.1, channels**-0.5))
        ax.set(
            title=f"{name}: {getattr(site.activation, 'name', type(site.activation).__name__)}",
            xlabel="potential above threshold",
        )
    axes[0, 0].legend()
    figure.savefig(path, dpi=120)


def gradient_over_time(path: Path, norms: Tensor, layers: Sequence[str]) -> None:
    """Draw the gradient norm of each layer at every time step, ``(layers, T)``."""
    figure, axes = new_figure(size=4.5)
    ax = axes[0, 0]
    for norm, name in zip(norms, layers, strict=True):
        ax.semilogy(range(1, len(norm) + 1), norm.clamp_min(1e-12), marker="o", markersize=3, label=name)
    ax.set(xlabel="time step", ylabel="norm of the loss's gradient in the potential")
    ax.legend()
    figure.savefig(path, dpi=120)
