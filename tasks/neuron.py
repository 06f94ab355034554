"""A rate-coded neuron: which response curve its spike counts have, and the harmonics it makes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch import Site
from actsearch.errors import InvalidValueError
from actsearch.measures.functional.harmonics import harmonic_amplitudes
from actsearch.task.options import (
    Interval,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from actsearch.task.pictures import DPI, evaluating, new_figure
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split

from .data.spikes import LeakyNeuron, read_rates, read_spikes
from .data.waves import sine

HARMONICS = 8
"""Amplitudes that are logged, beside the mean."""

LEAST_RATE = 0.02
"""Share of the mean rate that a lower one counts as; where there were spikes, slopes go on."""


class RateNeuron(TensorTask):
    r"""A neuron's firing rate as a function of its stimulus, fitted to spike counts.

    .. math:: r(t) = r_0 + k \, \varphi(w \, s(t)), \qquad n_i \sim \mathrm{Poisson}(r(t_i) \Delta),
              \qquad D = \frac2N \sum_i \Big(n_i \ln \frac{n_i}{\hat n_i} - n_i + \hat n_i\Big)

    The exposure :math:`\Delta` is the width of a bin times the trials; :math:`r_0`, k, w > 0 and
    what the activation learns minimise the Poisson deviance D, all training bins in each step. The
    site requires what a response is: monotone, and zero-preserving, so that :math:`r_0` is the rate
    at rest.

    The default neuron is a Leaky ReLU of slope α under s = A sin ωt. Its mean rate and its
    amplitudes are known, even harmonics telling α:

    .. math:: \bar r = r_0 + \frac{kA(1-\alpha)}{\pi}, \quad c_1 = \frac{kA(1+\alpha)}{2}, \quad
              c_{2n} = \frac{2kA(1-\alpha)}{\pi(4n^2-1)}, \quad c_{2n+1} = 0

    Logged in validation and test: ``deviance``; ``error``, relative L2 of the rates; ``r0``; and of
    the fitted neuron under one period of a sine, as large as the stimulus: ``mean_rate``, ``c1`` to
    ``c8`` (one-sided amplitudes), ``gain`` (:math:`kw`, rate per unit of stimulus), ``alpha`` (its
    fall under -A over its rise under A) and ``negative_rates`` (share of the period).

    Recorded rates, or spike times of all trials together beside the stimulus; times in seconds, the
    stimulus in any unit, rates per second::

        actsearch search neuron --task.data rates.csv  # time,stimulus,rate
        actsearch search neuron --task.data stimulus.csv --task.spikes spikes.csv --task.trials 20

    Shapes:
        input ``(N, 1)``, stimulus; output ``(N, 1)``, spikes per second.

    Args:
        data: CSV file with columns time, stimulus and rate, evenly spaced in time; of time and
            stimulus alone with ``spikes``; without it, a neuron is simulated.
        spikes: CSV file with one column, time: spikes of all trials, in seconds.
        bin_width: seconds that spikes are counted over, above 0.
        trials: of each bin, at least 1; where not given 1 of a file, 2,500 simulated.
        r0: rate at rest of the simulated neuron, per second.
        gain: its k, above 0.
        amplitude: A of its stimulus, above 0.
        slope: its α.
        frequency: of its stimulus in 1/s, above 0.
        samples: bins of a period, at least 20.
        periods: of the stimulus, at least 1.
        noise: ``poisson`` counts, or ``none``, the rates themselves.
        noise_seed: seed of the counts.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        batch_size: bins of a training step, at least 1; all where there are fewer.
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, a simulated rate below 0, or a file that is not
            that.

    References:
        Theoretical Neuroscience, P. Dayan and L. Abbott, 2001
        A point process framework for relating neural spiking activity to spiking history, neural
        ensemble, and extrinsic covariate effects, W. Truccolo, U. Eden, M. Fellows, J. Donoghue and
        E. Brown, 2005, https://doi.org/10.1152/jn.00697.2004
    """

    monitor = "val_deviance"
    mode = "min"
    test_metric = "test_deviance"
    space = "responses"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 20}
    eval_batch_size = 1 << 20
    epoch_steps = 50
    least_batch = 1
    units: Tensor

    def __init__(
        self,
        data: str | None = None,
        spikes: str | None = None,
        bin_width: PositiveFloat = 0.05,
        trials: PositiveInt | None = None,
        r0: NonNegativeFloat = 5.0,
        gain: PositiveFloat = 2.0,
        amplitude: PositiveFloat = 3.0,
        slope: Annotated[float, Interval(-1, 1)] = 0.1,
        frequency: PositiveFloat = 1.0,
        samples: Annotated[int, Interval(20)] = 1024,
        periods: PositiveInt = 4,
        noise: Literal["poisson", "none"] = "poisson",
        noise_seed: NonNegativeInt = 0,
        lr: PositiveFloat = 0.03,
        weight_decay: NonNegativeFloat = 0.0,
        batch_size: PositiveInt = 1 << 20,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, weight_decay=weight_decay, **options)
        self.known: LeakyNeuron | None = None
        if data is not None:
            recording = (
                read_rates(data, trials or 1)
                if spikes is None
                else read_spikes(spikes, data, bin_width, trials or 1)
            )
        elif spikes is not None:
            raise InvalidValueError("spikes must come with data, the stimulus, but got none.")
        else:
            self.known = LeakyNeuron(r0, gain, amplitude, slope)
            exposure = (trials or 2500) / (frequency * samples)
            seed = noise_seed if noise == "poisson" else None
            recording = self.known.record(samples, periods, exposure, seed)
        self.exposure = recording.exposure
        self.probe = sine(samples, float(recording.stimulus.abs().max()))[:, None]
        self.hold(recording.stimulus[:, None], recording.rate[:, None])
        s, rate = self.select("train")
        if not rate.any():
            raise InvalidValueError("data must have spikes in the training bins, but got none.")
        self.register_buffer("units", torch.stack([s.square().mean().sqrt(), rate.mean()]))
        self.response = Site("relu", requires="monotone and zero_preserving")
        self.rest = nn.Parameter(torch.ones((), dtype=torch.float64))
        # The other way around, a curve would have to turn over first.
        way = 1.0 if ((s - s.mean()) * rate).sum() >= 0 else -1.0
        self.height = nn.Parameter(0.3 * way * torch.rand((), dtype=torch.float64))
        self.log_width = nn.Parameter(0.3 * torch.randn((), dtype=torch.float64))
        self.double()

    def forward(self, stimulus: Tensor) -> Tensor:
        """Return the rate; inside, stimuli and rates of all units look alike."""
        unit, mean = self.units
        bent = self.response(self.log_width.exp() * stimulus / unit)
        return cast(Tensor, mean * (self.rest + self.height * bent))

    @override
    def loss(self, batch: Batch) -> Tensor:
        return self.deviance(batch).mean()

    def deviance(self, batch: Batch) -> Tensor:
        """Return the Poisson deviance of each bin, twice its log-likelihood ratio."""
        s, rate = batch
        found = cast(Tensor, self(s))
        low = LEAST_RATE * self.units[1]
        above = found.clamp_min(low)
        beyond = (low - found).clamp_min(0) * (rate / low - 1).clamp_min(0)
        fitted = above - rate * above.log() + beyond
        return cast(Tensor, 2 * self.exposure * (torch.special.xlogy(rate, rate) - rate + fitted))

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        return {"deviance": self.deviance(batch)}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        s, rate = (column.to(self.device) for column in self.select(part))
        error = (self(s) - rate).norm() / rate.norm()
        return {"error": error, **self.neuron()}

    @torch.no_grad()
    def neuron(self) -> dict[str, Tensor]:
        """Return what the fitted neuron does under one period of a sine."""
        probe = self.probe.to(self.device)
        rate = self(probe)[:, 0]
        amplitudes = harmonic_amplitudes(rate, HARMONICS)
        ends = torch.stack([-probe.max(), 0 * probe.max(), probe.max()])[:, None]
        fall, rise = self(ends)[:, 0].diff()
        unit, level = self.units
        return {
            "r0": level * self.rest,
            "gain": level * self.height * self.log_width.exp() / unit,
            "alpha": fall / rise,
            "negative_rates": (rate < 0).double().mean(),
            "mean_rate": rate.mean(),
            **{f"c{n}": amplitude for n, amplitude in enumerate(amplitudes, 1)},
        }

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write the rate over one period, the response with the counts, and the spectrum."""
        with evaluating(self):
            found = {name: float(value) for name, value in self.neuron().items()}
            rate = self(self.probe.to(self.device)).cpu()
        figure, axes = new_figure(1, 3, size=3.6)
        period, response, spectrum = axes[0]
        phase = torch.arange(len(rate)) / len(rate)
        period.plot(phase.numpy(), rate.numpy(), color="C1")
        period.set(xlabel="period", ylabel="spikes per second", title="under a sine")
        s, counted = (column[:, 0] for column in self.select("val"))
        order = s.argsort()
        # Neighbours together, since a bin of few spikes says little.
        means = (torch.stack([c.mean() for c in t[order].tensor_split(40)]) for t in (s, counted))
        x, y = (m.numpy() for m in means)
        response.plot(x, y, "o", color="black", alpha=0.4, markersize=4, label="validation bins")
        at = torch.linspace(float(s.min()), float(s.max()), 200, dtype=torch.float64)[:, None]
        response.plot(at.numpy(), self(at.to(self.device)).cpu().numpy(), color="C1")
        title = f"r0 {found['r0']:.3g}, gain {found['gain']:.3g}, alpha {found['alpha']:.2g}"
        response.set(xlabel="stimulus", title=title)
        response.legend(fontsize=8)
        numbers = range(1, HARMONICS + 1)
        heights = [max(found[f"c{n}"], 1e-6) for n in numbers]
        spectrum.bar(numbers, heights, color="C1", width=0.6, label="neuron")
        if self.known:
            _, *formula = self.known.amplitudes(HARMONICS)
            spectrum.plot(
                numbers, [max(c, 1e-6) for c in formula], "k_", markersize=12, label="formula"
            )
        spectrum.set(yscale="log", xlabel="harmonic", title=f"mean rate {found['mean_rate']:.4g}")
        spectrum.legend(fontsize=8)
        figure.savefig(folder / "neuron.png", dpi=DPI)
