"""Share of samples whose class is proved to hold around them."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy as np
from typing_extensions import override

from actsearch.errors import InvalidValueError, MeasureError
from actsearch.figure import DPI, new_figure
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.pieces import Array
from actsearch.measures.functional.verify import Bounding, Outcome, Proof, verify
from actsearch.measures.measure import Measure
from actsearch.measures.piecewise_linear import PiecewiseLinearNetwork, first_rows

MOST_UNITS = 4000
"""Units at the sites: beyond, the matrices of a network do not fit."""

OUTCOME_COLOURS: dict[Outcome, str] = {
    "verified": "tab:green",
    "refuted": "tab:red",
    "undecided": "tab:grey",
}


class Verification(Measure):
    r"""What is proved of samples: that their class holds under every small change, or does not.

    ``verified``, ``refuted`` and ``undecided`` are shares of the samples; ``binaries`` and
    ``unstable`` are means: binary variables of the mixed-integer programme, one for each knot
    within a unit's bounds, and units that have one. A sample is verified where

    .. math:: f_y(x') > f_c(x') \quad \text{for all } c \ne y, \; \|x' - x\|_\infty \le \varepsilon

    is proved, refuted where the network itself takes a witness x' for another class, and undecided
    where time is up. It is exact, where ``certified_accuracy`` is a bound; activations must be
    continuous and piecewise linear, layers between the sites affine. Cost grows with the binaries:
    with tens it takes tenths of a second a sample, with hundreds it is not decided.

    Args:
        epsilon: ε, of each entry of the model's input, in its units; at least 0.
        samples: rows of the measured split, from the first on; at least 1.
        time_limit: seconds for a sample, above 0; where it matters, the shares depend on the
            machine.
        bounds: of what enters a unit: ``linear_programme``, tight, or ``interval``, which suits one
            hidden layer.

    Raises:
        InvalidValueError: an option out of its range; a layer between the sites that is not affine.
        MeasureError: an activation that is not piecewise linear, with its site; a model whose
            forward does not return its logits, or that is too large.

    References:
        Evaluating Robustness of Neural Networks with Mixed Integer Programming, V. Tjeng, K. Xiao
        and R. Tedrake, 2017, https://arxiv.org/abs/1711.07356
        Strong mixed-integer programming formulations for trained neural networks, R. Anderson, J.
        Huchette, C. Tjandraatmadja and J. Vielma, 2018, https://arxiv.org/abs/1811.08359
    """

    name = "verification"
    direction = None
    needs = frozenset({"example", "sites", "labels", "logits"})

    def __init__(
        self,
        epsilon: float = 0.05,
        samples: int = 20,
        time_limit: float = 3.0,
        bounds: Bounding = "linear_programme",
    ) -> None:
        if not epsilon >= 0 or samples < 1 or not time_limit > 0:
            raise InvalidValueError(
                "epsilon must be at least 0, samples at least 1 and time_limit above 0, but got"
                f" {epsilon=}, {samples=}, {time_limit=}."
            )
        self.epsilon = epsilon
        self.samples = samples
        self.time_limit = time_limit
        self.bounds: Bounding = bounds

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        _, _, proofs = self.proofs(fitted)
        outcomes = [proof.outcome for proof in proofs]
        return {
            **{outcome: outcomes.count(outcome) / len(proofs) for outcome in OUTCOME_COLOURS},
            "binaries": fmean(proof.binaries for proof in proofs),
            "unstable": fmean(proof.unstable for proof in proofs),
        }

    @override
    def check(self, fitted: Fitted) -> None:
        self._network(fitted)

    def _network(self, fitted: Fitted) -> PiecewiseLinearNetwork:
        network = PiecewiseLinearNetwork(fitted, self.name)
        units = sum(len(site.units) for site in network.sites)
        if units > MOST_UNITS:
            raise MeasureError(
                f"{self.name} must have at most {MOST_UNITS} units at sites, but {fitted.name} has"
                f" {units}. Make it smaller."
            )
        return network

    def proofs(self, fitted: Fitted) -> tuple[Array, list[int], list[Proof]]:
        """Return the samples ``(N, D)``, their classes, and what is known of each."""
        network = self._network(fitted)
        logits, labels = fitted.gather("logits", "labels", most=self.samples)
        rows, own = first_rows(fitted, self.samples), logits.double().numpy()
        if not np.allclose(network.outputs(rows), own, atol=1e-3 * (1 + np.abs(own).max())):
            raise MeasureError(
                f"{self.name} must have a forward that returns the logits, but that of"
                f" {fitted.name} returns something else. Choose another model."
            )
        maps, sites = network.affine_maps(), [site.units for site in network.sites]
        limits = self.epsilon, self.time_limit, self.bounds
        proofs = [
            verify(maps, sites, network.outputs, row, label, *limits)
            for row, label in zip(rows, labels.tolist(), strict=True)
        ]
        return rows, labels.tolist(), proofs

    @override
    def pictures(self, fitted: Fitted, folder: Path) -> None:
        """Draw the margin of each sample, and the first counterexample beside its sample."""
        rows, labels, proofs = self.proofs(fitted)
        figure, axes = new_figure(1, 3)
        ax = axes[0, 0]
        margins = [proof.margin for proof in proofs]
        ax.bar(range(len(rows)), margins, color=[OUTCOME_COLOURS[v.outcome] for v in proofs])
        for outcome, colour in OUTCOME_COLOURS.items():
            count = sum(proof.outcome == outcome for proof in proofs)
            ax.plot([], [], "s", color=colour, label=f"{count} {outcome}")
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set(xlabel="sample", title=f"least margin within {self.epsilon:g}")
        ax.legend(fontsize=8)
        found = next((i for i, v in enumerate(proofs) if v.outcome == "refuted"), None)
        shape = tuple(fitted.example.shape[1:])
        for ax, what in zip(axes[0, 1:], ("sample", "witness"), strict=True):
            if found is None:
                ax.axis("off")
                continue
            sample, witness = rows[found], proofs[found].witness
            assert witness is not None, "what is refuted has a witness"
            shown, as_class = (
                (sample, labels[found]) if what == "sample" else (witness, proofs[found].rival)
            )
            if len(shape) == 3 and shape[0] in (1, 3):
                image = shown.reshape(shape).transpose(1, 2, 0).squeeze()
                low, high = min(sample.min(), witness.min()), max(sample.max(), witness.max())
                ax.imshow((image - low) / (high - low), cmap="gray", vmin=0, vmax=1)
                ax.axis("off")
            else:
                ax.plot(shown)
                ax.set(xlabel="input")
            ax.set_title(f"{what}: class {as_class}")
        figure.savefig(folder / "verification.png", dpi=DPI)
