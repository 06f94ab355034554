import math

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from scipy.signal import lfilter

from actsearch import Placement, find_sites
from actsearch.errors import InvalidValueError, RequirementError, UnknownNameError
from actsearch.measures.functional.harmonics import harmonic_amplitudes
from actsearch.task import laws
from actsearch_tasks.audio import Waveshaping
from actsearch_tasks.audio.spectrum import alias_level, levels
from actsearch_tasks.data.sounds import load_period, read_tone, read_wav, write_wav
from actsearch_tasks.data.waves import sine

VARIANTS = [
    {},
    {"loss": "waveform", "target": "square"},
    {"even": False, "target": "triangle", "channels": 3, "layers": 2, "memory": 2},
]


class TestAudio(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Waveshaping

    @pytest.fixture
    def small(self):
        return {"oversample": 2}

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build_with(activation, seed=0, force=False, **options):
    task = laws.build_task(Waveshaping, options, seed)
    if activation != "tanh":
        Placement.uniform(activation, find_sites(task)).apply(task, force=force)
    return task


def test_the_valve_is_koren_s():
    found = levels(harmonic_amplitudes(load_period("12AX7", 512, 1.0), 5))
    assert found[1:].tolist() == pytest.approx([-25.4, -45.6, -79.2, -87.7], abs=0.05)
    gain = harmonic_amplitudes(load_period("12AX7", 512, 1.0), 1)
    assert float(gain) == pytest.approx(60, abs=0.1)


@pytest.mark.claim
def test_odd_shapers_make_odd_harmonics_alone_and_silu_even_ones():
    x = torch.stack([sine(4096), 5 * sine(4096)])
    for name in ("tanh", "arctan", "softsign", "erf", "clip", "sine", "sigmoid"):
        task = build_with(name, force=True, even=False)
        with torch.no_grad():
            task.network.body.layer_1.convolution.weight.fill_(1.0)
            found = levels(harmonic_amplitudes(task(x), 16))
        assert float(found[:, 1::2].max()) == pytest.approx(-120, abs=0.01), name  # the floor
        assert found[1, 2] > -40
    for name in ("silu", "softplus", "relu"):
        task = build_with(name)
        with torch.no_grad():
            task.network.body.layer_1.convolution.weight.fill_(1.0)
            task.network.body.layer_1.convolution.bias.zero_()
            found = levels(harmonic_amplitudes(task(x), 16))
        assert float(found[:, 2::2].max()) == pytest.approx(-120, abs=0.01), name
        assert found[:, 1].min() > -20


@pytest.mark.long
@pytest.mark.claim
def test_of_silu_and_tanh_the_asymmetric_one_fits_the_valve():
    errors = {}
    for name in ("silu", "tanh"):
        task = build_with(name, harmonics=5)
        errors[name] = laws.fit(task, 15)["val_spectrum_error"]
        (tested,) = laws.trainer().test(task, verbose=False)
        assert tested["test_spectrum_error"] < 1.5 * errors[name] + 0.5  # at half the level
    assert errors["silu"] < 1.5
    assert errors["tanh"] > 2.5


def test_a_site_that_must_be_odd_refuses_what_is_not_and_forced_relu_makes_even_harmonics():
    for name in ("silu", "relu"):
        with pytest.raises(RequirementError, match="odd is False, but the site requires odd"):
            build_with(name, even=False)
    found = laws.fit(build_with("relu", force=True, even=False, target="square"))
    assert found["val_even_level"] > -20
    assert laws.fit(build_with("tanh", even=False, target="square"))["val_even_level"] < -119


def test_aliasing_falls_with_oversampling():
    def clipped(x):
        return (5 * x).clamp(-1, 1)

    found = [float(alias_level(clipped, 1.0, factor)) for factor in (1, 8)]
    assert found[0] > -20
    assert found[1] < found[0] - 12
    assert float(alias_level(lambda x: x, 1.0, 8)) < -90


def test_output_is_a_wav_file_whose_spectrum_is_the_fitted_one(tmp_path):
    task = build_with("silu", harmonics=5)
    laws.fit(task, 5)
    task.pictures(tmp_path)
    rate, samples = wavfile.read(tmp_path / "output.wav")
    assert (rate, samples.dtype, len(samples)) == (48_000, np.int16, 48_000)
    assert 20 * math.log10(np.abs(samples).max() / 32768) == pytest.approx(-1, abs=0.01)
    middle = samples[12_000:36_000] * np.blackman(24_000)
    tones = np.abs(np.fft.rfft(middle))[np.arange(1, 4) * 220]
    with torch.no_grad():
        wanted = levels(harmonic_amplitudes(task(task.tensors[0][:1]), 3))[0]
    assert 20 * np.log10(tones / tones[0]) == pytest.approx(wanted.numpy(), abs=0.5)


def test_a_recorded_tone_of_any_frequency_and_phase_is_taken_apart(tmp_path):
    t = np.arange(30_000) / 44_100
    angle = 2 * np.pi * 187.3 * t + 1.1
    sound = 0.4 * np.sin(angle) + 0.1 * np.sin(2 * angle + 0.5) + 0.02 * np.sin(3 * angle)
    path = tmp_path / "tone.wav"
    wavfile.write(path, 44_100, np.round(32767 * sound).astype(np.int16))
    rate, periods = read_tone(str(path), 187.3, 512, 3)
    assert rate == 44_100
    for period in periods:
        assert harmonic_amplitudes(period, 3).tolist() == pytest.approx([0.4, 0.1, 0.02], abs=1e-4)
        expected = (
            0.4 * sine(512)
            + 0.1 * torch.sin(4 * math.pi * torch.arange(512) / 512 + 0.5)
            + 0.02 * sine(512)[(3 * torch.arange(512)) % 512]
        )
        assert float((period - expected).abs().max()) < 1e-3
    task = build_with("silu", target=str(path), frequency=187.3, harmonics=3)
    assert laws.fit(task, 10)["val_spectrum_error"] < 1
    with pytest.raises(InvalidValueError, match=r"must span at most 256 samples .* but got 300"):
        Waveshaping(memory=301)
    with pytest.raises(InvalidValueError, match="must hold a tone of 300 Hz, but only"):
        Waveshaping(target=str(path), frequency=300.0)
    wavfile.write(path, 8000, np.sin(2 * np.pi * 500 / 8000 * np.arange(3000)))
    with pytest.raises(InvalidValueError, match=r"below 4000 Hz, half the rate of .* 8 of 500 Hz"):
        Waveshaping(target=str(path), frequency=500.0)
    assert Waveshaping(target=str(path), frequency=500.0, harmonics=7).rate == 8000
    wavfile.write(path, 44_100, sound)
    with pytest.raises(InvalidValueError, match="hold 30 periods of it, but got 20 Hz and"):
        Waveshaping(target=str(path), frequency=20.0)


@pytest.mark.long
def test_a_recording_beside_its_input_is_learned_with_memory(tmp_path):
    # A device that is none of ours: a filter, then an arctan that is biased.
    dry = 0.5 * lfilter([0.3], [1, -0.7], np.random.default_rng(0).normal(size=40_000))
    wet = np.arctan(4 * lfilter([0.6, 0.3], [1], dry) + 0.5) / 2
    for name, sound in (("dry", dry), ("wet", wet)):
        wavfile.write(tmp_path / f"{name}.wav", 32_000, sound.astype(np.float32))
    files = {"input": str(tmp_path / "dry.wav"), "target": str(tmp_path / "wet.wav")}
    errors = {}
    for memory in (1, 2):
        task = build_with("arctan", memory=memory, **files)
        errors[memory] = laws.fit(task, 20)["val_esr"]
    assert errors[2] < 0.01
    assert errors[1] > 5 * errors[2]
    task.pictures(tmp_path)
    rate, samples = wavfile.read(tmp_path / "output.wav")
    assert (rate, len(samples)) == (32_000, 40_000)


def test_files_that_do_not_fit_get_one_line(tmp_path):
    path = tmp_path / "own.wav"
    cases = [
        (np.zeros((900, 2), np.int16), "must have one channel, but got 2. Mix it down first"),
        (np.zeros(900, np.int16), "must hold finite samples, not all 0"),
        (np.full(900, np.nan, np.float32), "must hold finite samples, not all 0"),
    ]
    for samples, message in cases:
        wavfile.write(path, 48_000, samples)
        with pytest.raises(InvalidValueError, match=message) as caught:
            Waveshaping(target=str(path))
        assert "\n" not in str(caught.value)
    path.write_bytes(b"no sound")
    with pytest.raises(InvalidValueError, match="must be a WAV file, but reading it failed"):
        Waveshaping(target=str(path))
    other = tmp_path / "other.wav"
    wavfile.write(path, 48_000, np.ones(900, np.int16))
    wavfile.write(other, 44_100, np.ones(900, np.int16))
    with pytest.raises(InvalidValueError, match="48000 Hz and 900 samples, but got 44100 Hz"):
        Waveshaping(target=str(other), input=str(path))
    with pytest.raises(InvalidValueError, match="loss must be waveform where there is input"):
        Waveshaping(target=str(other), input=str(path), loss="harmonics")
    with pytest.raises(UnknownNameError, match=r"nearest: square, saw. Or a WAV file"):
        Waveshaping(target="sqare")


def test_samples_of_all_kinds_are_read_alike(tmp_path):
    wave = 0.5 * np.sin(np.arange(1000) / 10)
    kinds = {
        "uint8": np.round(128 + 128 * wave).astype(np.uint8),
        "int16": np.round(2**15 * wave).astype(np.int16),
        "int32": np.round(2**31 * wave).astype(np.int32),
        "float32": wave.astype(np.float32),
    }
    for name, samples in kinds.items():
        wavfile.write(tmp_path / f"{name}.wav", 8000, samples)
        rate, found = read_wav(str(tmp_path / f"{name}.wav"))
        assert rate == 8000
        assert found.numpy() == pytest.approx(wave, abs=5e-3), name
    write_wav(tmp_path / "out.wav", 8000, 3 + torch.from_numpy(wave))
    _, found = read_wav(str(tmp_path / "out.wav"))
    assert float(found.abs().max()) == pytest.approx(10 ** (-1 / 20), abs=1e-3)
