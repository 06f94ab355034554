"""Transmission tomography: what lies inside, from the photons that came through."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure
from typing_extensions import override

from actsearch import Site
from actsearch.task.options import Interval, NonNegativeFloat, PositiveFloat, PositiveInt
from actsearch.task.pictures import evaluating
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split, Splits

from .network import DensityNetwork
from .pictures import draw_reconstruction
from .rays import PathIntegrals, back_projection, ray_lengths
from .scan import Scan, load_phantom, read_scan, simulate

LEAST_EXPECTED = 0.01
"""Photons, below which the logarithm goes on as its tangent, where a law expects none or fewer."""


class Tomography(TensorTask):
    r"""A density reconstructed from counts of photons that came through it, in parallel rays.

    .. math:: N_r \sim \mathrm{Poisson}\Big(I_0 \, \varphi_{det}\Big(\sum_p A_{rp} \mu_p\Big)\Big),
              \qquad \varphi_{det}(t) = e^{-t}, \qquad \mu_p = \varphi_\mu(z_p)

    A coordinate network gives z at each pixel, ``density`` makes it an attenuation, and
    ``detector`` says what is left of the light behind a path: Beer's and Lambert's law, by which
    each further length takes the same share. The density requires a minimum of at least 0, since
    nothing gives light back; the detector that too, and ``bijective``: where one count belongs to
    many paths, they are lost, and no gradient finds them.

    Logged in validation and test: ``psnr`` (dB, of the phantom's peak; on half of the pixels each,
    like a chessboard) and ``ssim``, where there is a phantom; ``deviance``, Poisson's, of rays that
    were left out, about 1 where all is known; ``least``, the smallest density, one over a pixel's
    side; and ``negative``, the share of pixels below 0. Pictures come with filtered
    back-projection, with ``reconstruction.npy``, and with ``counts.npz``.

    A phantom of your own, or what your detector counted::

        actsearch search imaging --task.phantom image.npy
        actsearch search imaging --task.counts counts.npz --monitor val_deviance --mode min
        # np.savez("counts.npz", counts=(angles, detectors), angles=degrees, blank=photons)

    Detectors stand side by side across the field of view, the axis of rotation in its middle.

    Shapes:
        input ``(N,)``, numbers of rays, angle by angle; output ``(N,)``, photons expected.

    Args:
        phantom: ``shepp_logan``, which needs scikit-image, or an ``.npy`` file of a square image of
            attenuation. Half of the simulated angles are trained on, those between are left out.
        counts: ``.npz`` file of a scan, or ``.npy`` file of its counts alone, at angles evenly over
            half a turn; the phantom then plays no part.
        size: pixels of a side, at least 16.
        angles: of a simulated scan that are trained on, at least 3.
        blank: :math:`I_0`, photons of a ray without the object, above 0; ``.npz`` files have it.
        optical_depth: that the largest path integral of a phantom is scaled to, above 0.
        features: random Fourier features, at least 1.
        deviation: of their waves over half a side, above 0.
        hidden: units of a layer, at least 1.
        depth: hidden layers, at least 1.
        loss: ``poisson``, the likelihood; ``squared``, of counts; or ``logarithm``, squared errors
            of the counts' logarithm, which needs no detector.
        batch_size: rays of a training step, at least 1; the density is computed for each step.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        **options: those of every :class:`TensorTask`; ``split_seed`` draws a phantom's photons, and
            the shares are those of a file's rays.

    Raises:
        ActsearchError: an option out of its range, or a file that is not that.

    References:
        Bestimmung der Absorption des rothen Lichts in farbigen Flüssigkeiten, A. Beer, 1852,
        https://doi.org/10.1002/andp.18521620505
        The Fourier reconstruction of a head section, L. Shepp and B. Logan, 1974,
        https://doi.org/10.1109/TNS.1974.6499235
        NeRP: implicit neural representation learning with prior embedding for sparsely sampled
        image reconstruction, L. Shen, J. Pauly and L. Xing, 2022, https://arxiv.org/abs/2108.10991
    """

    monitor = "val_psnr"
    mode = "max"
    test_metric = "test_psnr"
    space = "tomography"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 8}
    search_defaults: ClassVar[dict[str, Any]] = {"trials": 15, "confirm": 2, "seeds": 7}
    epoch_steps = 25
    least_batch = 1
    eval_batch_size = 1 << 20
    air: Tensor

    def __init__(
        self,
        phantom: str = "shepp_logan",
        counts: str | None = None,
        size: Annotated[int, Interval(16)] = 48,
        angles: Annotated[int, Interval(3)] = 30,
        blank: PositiveFloat = 1000.0,
        optical_depth: PositiveFloat = 5.0,
        features: PositiveInt = 64,
        deviation: PositiveFloat = 1.0,
        hidden: PositiveInt = 32,
        depth: PositiveInt = 2,
        loss: Literal["poisson", "squared", "logarithm"] = "poisson",
        batch_size: PositiveInt = 1 << 20,
        lr: PositiveFloat = 0.02,
        weight_decay: NonNegativeFloat = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, weight_decay=weight_decay, **options)
        self.size, self.by = size, loss
        self.truth: Tensor | None = None
        if counts is None:
            image = load_phantom(phantom, size)
            seed = self._division[0]
            scan, truth = simulate(image, 2 * angles, blank, optical_depth, seed)
            self.truth = torch.from_numpy(truth)
        else:
            scan = read_scan(counts, blank)
        self.scan = scan
        lengths = ray_lengths(size, scan.angles, scan.counts.shape[1])
        self.integrals = PathIntegrals(lengths)
        air = torch.from_numpy(scan.blank).float().repeat(len(scan.angles))
        self.register_buffer("air", air, persistent=False)
        self._hold_rays(scan)
        self.network = DensityNetwork(size, features, deviation, hidden, depth)
        if loss != "logarithm":
            self.detector = Site("attenuation", requires="minimum >= 0 and bijective")

    def _hold_rays(self, scan: Scan) -> None:
        rays = torch.arange(scan.counts.size)
        counted = torch.from_numpy(scan.counts).flatten().float()
        if self.truth is None:
            self.hold(rays, counted)
            return
        trained, between = rays.view(len(scan.angles) // 2, 2, -1).unbind(1)
        left_out = between.flatten()
        splits = Splits(trained.flatten(), left_out[::2], left_out[1::2])
        self.hold_divided((rays, counted), splits)

    def forward(self, rays: Tensor) -> Tensor:
        """Return how many photons are expected of some rays."""
        path = self.paths()[rays]
        left = torch.exp(-path) if self.by == "logarithm" else self.detector(path[:, None])[:, 0]
        return self.air[rays] * left

    def paths(self) -> Tensor:
        """Return the path integral of each ray."""
        found: Tensor = self.integrals(self.network())
        return found

    @override
    def loss(self, batch: Batch) -> Tensor:
        rays, counted = batch
        if self.by == "poisson":
            return self.deviance(batch).mean()
        air = self.air[rays]
        if self.by == "squared":
            error = (self(rays) - counted) / air
        else:
            error = self.paths()[rays] - (air / counted.clamp_min(0.5)).log()
        return cast(Tensor, error.square().mean())

    def deviance(self, batch: Batch) -> Tensor:
        """Return the Poisson deviance of each ray, twice its log-likelihood ratio."""
        rays, counted = batch
        expected = self(rays)
        short = (LEAST_EXPECTED - expected).clamp_min(0) / LEAST_EXPECTED
        log = expected.clamp_min(LEAST_EXPECTED).log() - short
        ratio = torch.special.xlogy(counted, counted) - counted * log
        return cast(Tensor, 2 * (ratio - counted + expected))

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        return {"deviance": self.deviance(batch)}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        image = self.image()
        least = {"least": image.min(), "negative": (image < 0).float().mean()}
        if self.truth is None:
            return least
        truth = (2 / self.size * self.truth).to(image)
        board = torch.arange(self.size, device=image.device)
        own = (board[:, None] + board) % 2 == (part == "test")
        ssim = structural_similarity_index_measure(
            image[None, None], truth[None, None], data_range=float(truth.max())
        )
        return least | {"psnr": peak_ratio(image[own], truth[own]), "ssim": cast(Tensor, ssim)}

    def image(self) -> Tensor:
        """Return the density, one over a pixel's side, ``(size, size)``."""
        density: Tensor = self.network()
        return 2 / self.size * density.view(self.size, self.size)

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write truth, reconstructions and counts, and the arrays of the network's and of these."""
        with evaluating(self):
            image = self.image().cpu().numpy()
        seen = slice(None) if self.truth is None else slice(None, None, 2)
        paths, angles = self.scan.paths[seen], self.scan.angles[seen]
        filtered = 2 / self.size * back_projection(paths, angles, self.size)
        images = {"network": image, "filtered back-projection": filtered}
        against = filtered
        if self.truth is not None:
            against = 2 / self.size * self.truth.numpy()
            truth = torch.from_numpy(against)
            images = {"phantom": against} | {
                f"{name}: {float(peak_ratio(torch.from_numpy(one), truth)):.1f} dB": one
                for name, one in images.items()
            }
        draw_reconstruction(folder / "imaging.png", images, image - against, self.scan.counts)
        np.save(folder / "reconstruction.npy", image)
        self.scan.write(folder / "counts.npz")


def peak_ratio(found: Tensor, truth: Tensor) -> Tensor:
    r"""Return the peak signal-to-noise ratio in dB.

    .. math:: -10 \log_{10} \frac{\langle (\hat\mu - \mu)^2 \rangle}{\max \mu^2}
    """
    return -10 * ((found - truth).square().mean() / truth.max().square()).log10()
