"""Wave shaping: which activation makes the harmonics of a device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.harmonics import harmonic_amplitudes
from actsearch.task.options import (
    Interval,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
)
from actsearch.task.pictures import evaluating
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split, Splits

from ..data.sounds import load_period, read_pair, read_tone, write_wav
from ..data.waves import sine
from .network import Distortion
from .pictures import draw_sound
from .spectrum import (
    QUIETEST,
    alias_level,
    levels,
    oversampled,
    spectrum_difference,
    spectrum_levels,
)

POINTS = 512
"""Samples of a period that harmonics are measured on."""

SEGMENT = 1024
"""Samples of a row of a recording."""

STARTS_DRAWN = 100
"""Draws of the weights, of which the best begins: decibels have many local minima."""


class Waveshaping(TensorTask):
    r"""A distortion fitted to the harmonics of a device, or to its recording.

    .. math:: y(t) = g \, \varphi(a \, x(t) + b) + c, \qquad
              L = \sum_{n=2}^{H} (\ell_n - \hat \ell_n)^2, \qquad
              \ell_n = 20 \log_{10} \frac{c_n}{c_1}

    One period of a sine goes in, harmonics of amplitude :math:`c_n` come out; the shaper decides
    which. An odd one without bias makes odd harmonics alone, an asymmetric one even ones too.
    Levels are compared in dB down to -120 and without phase; the fundamental's own is fitted too.
    A recording beside its input is fitted as a waveform, by the error-to-signal ratio
    :math:`\sum (y - \hat y)^2 / \sum y^2`, by several layers with memory if wanted.

    Logged in validation and test: ``spectrum_error`` (dB, root mean square over harmonics, or over
    frequencies of a recording), ``esr`` (without the mean) and ``squared_error``; under a sine of
    ``level``, ``thd`` (total harmonic distortion) and, in dB of the fundamental, ``even_level``
    (the strongest even harmonic) and ``alias_level`` (what sampling adds to a tone of 5 kHz at 48
    kHz); and ``curvature``, the largest second difference quotient of the transfer curve. Its
    pictures come with ``output.wav``, of 16 bits with its peak at -1 dB of full scale.

    A tone from your amplifier, or what went into it and what came out::

        actsearch search audio --task.target tone.wav --task.frequency 220
        actsearch search audio --task.target wet.wav --task.input dry.wav --task.channels 8

    Shapes:
        input ``(N, T)``, output ``(N, T)``.

    Args:
        target: ``12AX7``, a triode stage of 300 V and 100 kΩ; ``square``, ``triangle`` or ``saw``;
            or a WAV file of one channel: a steady tone, or with ``input`` any sound.
        input: WAV file of what went into the device; without it, a sine did.
        frequency: of the sine in Hz, above 0.
        sample_rate: of ``output.wav`` in Hz; files bring their own.
        oversample: times the rate that ``output.wav`` and aliasing are computed at, at least 1;
            with ``memory``, whose delays are of the sample rate, 1.
        level: amplitude of the sine; of ``12AX7`` in volts. Its test is at half of it.
        harmonics: H, at least 2.
        loss: ``harmonics`` or ``waveform``; where not given, ``waveform`` where there is ``input``.
        even: whether there may be even harmonics; else sites require odd activations, and there
            are no biases.
        layers: convolutions with a shaper after each, at least 1.
        channels: of each, at least 1.
        memory: samples that each sees, at least 1.
        batch_size: segments of a recording in a training step, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, or a file that is not that.

    References:
        Digital waveshaping synthesis, M. Le Brun, 1979, Journal of the Audio Engineering Society
        27(4)
        Real-time guitar amplifier emulation with deep learning, A. Wright, E.-P. Damskägg,
        L. Juvela and V. Välimäki, 2020, https://doi.org/10.3390/app10030766
    """

    monitor = "val_spectrum_error"
    mode = "min"
    test_metric = "test_spectrum_error"
    space = "shapers"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 20}
    search_defaults: ClassVar[dict[str, Any]] = {"trials": 15}
    epoch_steps = 50
    least_batch = 1

    def __init__(
        self,
        target: str = "12AX7",
        input: str | None = None,
        frequency: PositiveFloat = 440.0,
        sample_rate: PositiveInt = 48_000,
        oversample: PositiveInt = 8,
        level: PositiveFloat = 1.0,
        harmonics: Annotated[int, Interval(2, 31)] = 8,
        loss: Literal["harmonics", "waveform"] | None = None,
        even: bool = True,
        layers: PositiveInt = 1,
        channels: PositiveInt = 1,
        memory: PositiveInt = 1,
        batch_size: PositiveInt = 8,
        lr: PositiveFloat = 0.03,
        weight_decay: NonNegativeFloat = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, weight_decay=weight_decay, **options)
        self.frequency, self.rate, self.level = frequency, sample_rate, level
        self.harmonics = harmonics
        self.oversample = oversample if memory == 1 else 1  # its delays are of this rate
        self.by_waveform = loss == "waveform" or (loss is None and input is not None)
        self.recorded = input is not None
        self.dry: Tensor | None = None
        if input is not None:
            if loss == "harmonics":
                raise InvalidValueError(
                    "loss must be waveform where there is input, but got 'harmonics'."
                )
            self.rate, self.dry, wet = read_pair(input, target)
            self.level = float(self.dry.abs().max())
            rows = (t[: len(t) // SEGMENT * SEGMENT].view(-1, SEGMENT) for t in (self.dry, wet))
            self.hold(*rows)
        else:
            self._hold_periods(target)
        self.network = Distortion(layers, channels, memory, even).double()
        if self.network.past > POINTS // 2:
            raise InvalidValueError(
                f"memory must span at most {POINTS // 2} samples before the present one, over all"
                f" layers, but got {self.network.past}."
            )

    def _hold_periods(self, target: str) -> None:
        """Take one period for each part of the data."""
        x = sine(POINTS, self.level).repeat(3, 1)
        if target.lower().endswith(".wav"):
            self.rate, y = read_tone(target, self.frequency, POINTS, 3)
            if 2 * self.harmonics * self.frequency >= self.rate:
                raise InvalidValueError(
                    f"harmonics must lie below {self.rate / 2:g} Hz, half the rate of {target}, but"
                    f" got {self.harmonics} of {self.frequency:g} Hz."
                )
        else:
            x[2] *= 0.5 if target == "12AX7" else 1.0
            y = torch.stack([load_period(target, POINTS, float(row.max())) for row in x])
        self.hold_divided((x, y), Splits(*torch.arange(3)[:, None]))

    def forward(self, x: Tensor) -> Tensor:
        """Return what comes out of what goes in."""
        return cast(Tensor, self.network(x))

    @override
    def on_fit_start(self) -> None:
        """Begin where the best of many draws begins."""
        x, y = (column[: self.batch_size].to(self.device) for column in self.select("train"))
        best, kept = torch.inf, self.network.state_dict()
        with torch.no_grad():
            for _ in range(STARTS_DRAWN):
                self.network.draw(x, y.std())
                loss = float(self.loss((x, y)))
                if loss < best:
                    best = loss
                    kept = {
                        name: value.clone() for name, value in self.network.state_dict().items()
                    }
        self.network.load_state_dict(kept)

    @override
    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        found = self(x)
        if self.by_waveform:
            return error_to_signal(found[:, self.network.past :], y[:, self.network.past :])
        differences = self.level_differences(found, y)
        return differences.square().sum(-1).mean() / 100

    def level_differences(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Return by how many dB harmonics differ, the fundamental's amplitude first."""
        own, other = (harmonic_amplitudes(wave, self.harmonics) for wave in (found, wanted))
        first = 20 * (own[..., :1] / other[..., :1]).clamp_min(QUIETEST).log10()
        return torch.cat([first, (levels(own) - levels(other))[..., 1:]], -1)

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        x, y = batch
        error = (self(x) - y)[:, self.network.past :]
        return {"squared_error": error.square()}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        x, y = (column.to(self.device) for column in self.select(part))
        found = self(x)
        past = self.network.past
        difference = spectrum_difference if self.recorded else self.level_differences
        compared = difference(found[:, past:], y[:, past:])[..., 1:]
        probe = sine(POINTS, self.level).to(self.device).repeat(2)[None]
        shown = harmonic_amplitudes(self(probe)[:, POINTS:], POINTS // 4)[0]
        relative = levels(shown)
        curve = self.transfer(200)[1].diff(n=2) / (2 * self.level / 199) ** 2
        return {
            "spectrum_error": compared.square().mean().sqrt(),
            "esr": error_to_signal(
                *(wave - wave.mean(1, keepdim=True) for wave in (found[:, past:], y[:, past:]))
            ),
            "thd": shown[1:].norm() / shown[0].clamp_min(1e-12),
            "even_level": relative[1::2].max(),
            "alias_level": alias_level(self, self.level, self.oversample),
            "curvature": curve.abs().max(),
        }

    @torch.no_grad()
    def transfer(self, points: int) -> tuple[Tensor, Tensor]:
        """Return what comes out of inputs that stay, from ``-level`` to ``level``."""
        x = torch.linspace(-self.level, self.level, points, dtype=torch.float64).to(self.device)
        return x, self(x[:, None].expand(-1, self.network.past + 1))[:, -1]

    @torch.no_grad()
    def rendered(self) -> Tensor:
        """Return a second of the sine, or what went into the device, through the distortion."""
        if self.dry is None:
            angle = 2 * torch.pi * self.frequency / self.rate
            dry = self.level * torch.sin(angle * torch.arange(self.rate, dtype=torch.float64))
        else:
            dry = self.dry
        return oversampled(self, dry.to(self.device), self.oversample).cpu()

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write the spectrum of target and output with the transfer curve, and ``output.wav``."""
        with evaluating(self):
            write_wav(folder / "output.wav", self.rate, self.rendered())
            x, y = (column.to(self.device) for column in self.select("val"))
            found = self(x)
            curve = tuple(t.cpu() for t in self.transfer(400))
        shown = (found.cpu(), y.cpu())
        if self.recorded:
            spectra = tuple(spectrum_levels(wave) for wave in shown)
        else:
            spectra = tuple(levels(harmonic_amplitudes(w, self.harmonics))[0] for w in shown)
        draw_sound(folder / "sound.png", spectra, curve, (x.cpu(), *shown), self.rate)


def error_to_signal(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the power of the error over that of the signal."""
    return (found - wanted).square().sum() / wanted.square().sum().clamp_min(1e-24)
