"""What images of a data set look like to a classifier of it, and how far samples are from them."""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

EPOCHS, RATE = 5, 6e-3
SUBSET = 100
"""Images of one estimate of the kernel distance."""


class ImageFeatures(nn.Module):
    """A small convolutional classifier, whose 64 penultimate units are the feature space.

    Args:
        channels: of the images.
        classes: number of classes.

    Shapes:
        input bytes ``(N, C, H, W)``, output ``(N, 64)``.
    """

    num_features = 64

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
            nn.Linear(256, self.num_features),
            nn.ReLU(),
        )
        self.head = nn.Linear(self.num_features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        features: Tensor = self.body(images.float() / 127.5 - 1)
        return features

    def probabilities(self, features: Tensor) -> Tensor:
        """Return the probabilities of the classes ``(N, classes)`` by the features of images."""
        found: Tensor = self.head(features).softmax(1)
        return found

    @classmethod
    def trained(cls, images: Tensor, labels: Tensor, classes: int) -> ImageFeatures:
        """Return a classifier of images in [0, 1], always the same of the same images."""
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.inference_mode(False):
            torch.manual_seed(0)
            network, x = cls(images.shape[1], classes), as_bytes(images)
            optimizer = torch.optim.Adam(network.parameters())
            batches = [b for _ in range(EPOCHS) for b in torch.randperm(len(x)).split(64)]
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, len(batches))
            for rows in batches:
                optimizer.zero_grad()
                F.cross_entropy(network.head(network(x[rows])), labels[rows]).backward()
                optimizer.step()
                schedule.step()
        return network.eval().requires_grad_(False)


def as_bytes(images: Tensor) -> Tensor:
    """Return images in [0, 1] as bytes."""
    return (255 * images).round().byte()


class _Given(nn.Identity):
    """The extractor of what are features already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


@torch.no_grad()
def distances(real: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the Fréchet and the kernel distance between the features of images.

    .. math::
        \|\mu - \mu'\|^2 + \mathrm{tr}(\Sigma + \Sigma' - 2 (\Sigma \Sigma')^{1/2})

    of their means and covariances, which is smaller where there are more images, so compare
    those of equal numbers; and the squared maximum mean discrepancy under the kernel :math:`(x^\top
    y / D + 1)^3`, over random subsets.

    Args:
        real: features ``(N, D)``.
        samples: features ``(M, D)``.

    References:
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, M.
        Heusel, H. Ramsauer, T. Unterthiner, B. Nessler and S. Hochreiter, 2017,
        https://arxiv.org/abs/1706.08500

        Demystifying MMD GANs, M. Bińkowski, D. Sutherland, M. Arbel and A. Gretton, 2018,
        https://arxiv.org/abs/1801.01401
    """
    size, given = min(SUBSET, len(real), len(samples)), _Given(real.shape[1])
    frechet = FrechetInceptionDistance(feature=given)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* will save all extracted features", UserWarning)
        kernel = KernelInceptionDistance(feature=given, subsets=20, subset_size=size)
    for metric in (frechet.to(real.device), kernel.to(real.device)):
        metric.update(real, real=True)
        metric.update(samples, real=False)
    return frechet.compute(), kernel.compute()[0]


def classes_covered(probabilities: Tensor) -> Tensor:
    r"""Return how many classes samples cover, :math:`\exp H(\bar p)`, from 1 to the classes.

    Args:
        probabilities: of each sample ``(N, classes)``.
    """
    mean: Tensor = probabilities.mean(0)
    covered: Tensor = torch.special.entr(mean).sum().exp()
    return covered
