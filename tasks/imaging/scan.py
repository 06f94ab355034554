"""Photons counted behind an object: simulated from a phantom, or measured ones from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from actsearch.errors import InvalidValueError, TaskError, UnknownNameError

from ..data.tables import read_arrays
from .rays import ray_lengths

FINENESS = 4
"""Samples of a pixel's length in simulated data; to reconstruct with those too would be easier."""

FEWEST_ANGLES, FEWEST_DETECTORS = 3, 8
"""Of a file."""


@dataclass(frozen=True)
class Scan:
    """What a detector counted.

    Args:
        counts: photons ``(A, D)``.
        angles: in degrees ``(A,)``.
        blank: photons that each detector counts without the object ``(D,)``.
    """

    counts: np.ndarray
    angles: np.ndarray
    blank: np.ndarray

    @property
    def paths(self) -> np.ndarray:
        """Path integrals by the logarithm; no count is taken for half a photon."""
        found: np.ndarray = np.log(self.blank / np.maximum(self.counts, 0.5))
        return found

    def write(self, path: Path) -> None:
        """Write an ``.npz`` file that :func:`read_scan` reads."""
        np.savez(path, counts=self.counts, angles=self.angles, blank=self.blank)


def load_phantom(name: str, size: int) -> np.ndarray:
    """Return an image of attenuation, ``(size, size)`` in float64, averaged over areas.

    Args:
        name: ``shepp_logan``, of scikit-image, or an ``.npy`` file of a square image.
        size: pixels of a side.

    Raises:
        UnknownNameError: neither of these.
        InvalidValueError: a file that is no such image.
        TaskError: scikit-image is not installed.
    """
    if name == "shepp_logan":
        try:
            from skimage.data import shepp_logan_phantom
        except ImportError:
            raise TaskError(
                "phantom shepp_logan needs scikit-image, which is not installed. Install it with"
                ' pip install "actsearch[imaging]", or give an .npy file.'
            ) from None
        image = shepp_logan_phantom()
    elif name.endswith(".npy"):
        image = _array(name)
        if image.ndim != 2 or image.shape[0] != image.shape[1] or len(image) < size:
            raise InvalidValueError(
                f"{name} must be a square image of at least {size} pixels a side, but got shape"
                f" {image.shape}."
            )
        _check_numbers(f"attenuation of {name}", image)
    else:
        raise UnknownNameError.among("phantom", name, ["shepp_logan"], "Or an .npy file.")
    fine = torch.from_numpy(image.astype(np.float64))
    found: np.ndarray = F.interpolate(fine[None, None], (size, size), mode="area")[0, 0].numpy()
    return found


def simulate(
    phantom: np.ndarray, angles: int, blank: float, optical_depth: float, seed: int
) -> tuple[Scan, np.ndarray]:
    r"""Return counts :math:`N \sim \mathrm{Poisson}(I_0 e^{-\int \mu})`, and μ.

    Args:
        phantom: image ``(size, size)``; there are as many detectors.
        angles: evenly over half a turn from 0.
        blank: :math:`I_0`, photons of a ray without the object.
        optical_depth: that the largest path integral is scaled to.
        seed: of the photons.
    """
    size = len(phantom)
    degrees = 180 * np.arange(angles) / angles
    paths = ray_lengths(size, degrees, size, FINENESS) @ phantom.ravel()
    factor = optical_depth / paths.max()
    expected = blank * np.exp(-factor * paths).reshape(angles, size)
    counts = np.random.default_rng(seed).poisson(expected).astype(float)
    return Scan(counts, degrees, np.full(size, blank)), factor * phantom


def read_scan(path: str, blank: float) -> Scan:
    """Return the counts of a file.

    Args:
        path: ``.npz`` with counts ``(A, D)``, angles in degrees ``(A,)`` and blank, a number or
            ``(D,)``; or ``.npy`` with counts alone, at angles evenly over half a turn from 0.
        blank: photons without the object, for ``.npy``.

    Raises:
        InvalidValueError: a file that is not that.
    """
    if path.endswith(".npy"):
        counts = _array(path)
        angles = 180 * np.arange(len(counts)) / len(counts) if counts.ndim else np.zeros(0)
        own: np.ndarray = np.asarray(blank)
    else:
        arrays = read_arrays(path)
        if set(arrays) != {"counts", "angles", "blank"}:
            raise InvalidValueError(
                f"{path} must hold arrays counts, angles and blank, but got"
                f" {', '.join(arrays) or 'none'}."
            )
        counts, angles, own = (np.asarray(arrays[n]) for n in ("counts", "angles", "blank"))
    if counts.ndim != 2 or len(counts) < FEWEST_ANGLES or counts.shape[1] < FEWEST_DETECTORS:
        raise InvalidValueError(
            f"counts of {path} must have at least {FEWEST_ANGLES} angles and {FEWEST_DETECTORS}"
            f" detectors, but got shape {counts.shape}."
        )
    if angles.shape != counts.shape[:1] or own.shape not in ((), counts.shape[1:]):
        raise InvalidValueError(
            f"{path} must have an angle for each row of counts and one blank, or one for each"
            f" column, but got shapes {counts.shape}, {angles.shape} and {own.shape}."
        )
    _check_numbers(f"counts of {path}", counts)
    _check_numbers(f"blank of {path}", own)
    _check_numbers(f"angles of {path}", angles, -np.inf)
    if not (own > 0).all() or counts.mean() > own.mean():
        raise InvalidValueError(
            f"blank must be above 0 and above the mean of {path}, {counts.mean():g}, since an"
            f" object takes photons, but got {own.mean():g}."
        )
    return Scan(counts.astype(float), angles.astype(float), np.full(counts.shape[1], own, float))


def _array(path: str) -> np.ndarray:
    try:
        found: np.ndarray = np.load(Path(path).expanduser(), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidValueError(
            f"{path} must be an .npy file of plain numbers, but reading it failed: {reason}."
        ) from None
    return found


def _check_numbers(what: str, array: np.ndarray, low: float = 0.0) -> None:
    """Refuse what is no finite number of at least ``low``, or no different from 0 at all."""
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise InvalidValueError(f"{what} must be finite numbers, but got {array.dtype} or NaN.")
    if array.min() < low or not array.any():
        raise InvalidValueError(
            f"{what} must be at least {low:g} and not 0 everywhere, but got {array.min():g} to"
            f" {array.max():g}."
        )
