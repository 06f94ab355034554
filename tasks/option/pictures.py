"""The picture of prices: what is left of the quotes, implied volatility, and density."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from actsearch.task.pictures import DPI, new_figure


def draw_prices(
    path: Path, quotes: tuple[Tensor, Tensor, Tensor, Tensor], curves: Sequence[dict[str, Tensor]]
) -> None:
    """Draw errors of quotes, implied volatilities and risk-neutral densities over the strike.

    Args:
        path: the PNG to write.
        quotes: strikes, numbers of maturities, errors in the currency and implied volatilities,
            each ``(N,)``.
        curves: of each maturity, ``strike``, ``implied_volatility`` and ``density``, and
            ``maturity`` for the legend.
    """
    strike, numbers, error, volatility = (t.numpy() for t in quotes)
    figure, axes = new_figure(1, 3, size=3.2)
    left, middle, right = axes[0]
    for number, curve in enumerate(curves):
        own, colour = numbers == number, f"C{number + 1}"
        x = curve["strike"].numpy()
        left.plot(strike[own], error[own], ".", color=colour, markersize=3)
        middle.plot(strike[own], volatility[own], ".", color="black", alpha=0.4, markersize=4)
        middle.plot(x, curve["implied_volatility"].numpy(), color=colour, linewidth=1)
        label = f"{float(curve['maturity'][0]):.3g} years"
        right.plot(x, curve["density"].numpy(), color=colour, linewidth=0.8, label=label)
    left.set(xlabel="strike", title="model less quote")
    middle.set(xlabel="strike", title="implied volatility")
    right.set(xlabel="strike", title="risk-neutral density")
    right.legend(fontsize=8)
    figure.savefig(path, dpi=DPI)
