"""Eleven small modules of unlike kinds, as their authors might have them.

Each trains in a few seconds at most, on data that come with the installed packages or are made.
"""

from __future__ import annotations

import itertools
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_image, make_friedman1
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset


class Own(L.LightningModule):
    """What the modules share: rows divided by ``split_seed``, Adam, a loss of each part."""

    epochs = 0
    batch_size = 32
    lr = 1e-3
    net: nn.Module

    def __init__(self, split_seed: int, x: Any, y: Any) -> None:
        super().__init__()
        rows = np.random.default_rng(split_seed).permutation(len(x)).tolist()
        train, validation = int(0.6 * len(rows)), int(0.8 * len(rows))
        self.parts = rows[:train], rows[train:validation], rows[validation:]
        self.rows = TensorDataset(_tensor(x), _tensor(y))

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's output."""
        return self.net(x)

    def loss(self, batch: Any) -> Tensor:
        """Return the mean squared error."""
        x, y = batch
        return F.mse_loss(self(x), y)

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Return the loss."""
        return self.loss(batch)

    def validation_step(self, batch: Any, index: int) -> None:
        """Log the loss."""
        self.log("val_loss", self.loss(batch))

    def test_step(self, batch: Any, index: int) -> None:
        """Log the loss."""
        self.log("test_loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def train_dataloader(self) -> Any:
        """Return 60 % of the rows."""
        return DataLoader(Subset(self.rows, self.parts[0]), self.batch_size, shuffle=True)

    def val_dataloader(self) -> Any:
        """Return 20 % of the rows."""
        return DataLoader(Subset(self.rows, self.parts[1]), len(self.rows))

    def test_dataloader(self) -> Any:
        """Return 20 % of the rows."""
        return DataLoader(Subset(self.rows, self.parts[2]), len(self.rows))


class OwnClassifier(Own):
    """The same with the cross-entropy."""

    def loss(self, batch: Any) -> Tensor:
        """Return the cross-entropy."""
        x, y = batch
        return F.cross_entropy(self(x), y)


def _tensor(data: Any) -> Tensor:
    found = torch.as_tensor(data)
    return found.float() if found.is_floating_point() else found.long()


def _standardised(data: Any) -> Any:
    return (data - data.mean(0)) / data.std(0)


def _perceptron(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class Table(Own):
    """Friedman's first function of ten columns, five of them noise: 500 rows."""

    epochs = 30

    def __init__(self, split_seed: int = 0) -> None:
        x, y = make_friedman1(500, noise=1.0, random_state=0)
        super().__init__(split_seed, 2 * x - 1, _standardised(y)[:, None])
        self.net = _perceptron(10, 64, 64, 1)


class Waves(OwnClassifier):
    """Four shapes of waves in noise, and a convolutional network in one dimension."""

    epochs = 20

    def __init__(self, split_seed: int = 0) -> None:
        draw = np.random.default_rng(0)
        label = np.arange(600) % 4
        phase = draw.uniform(2, 5, (600, 1)) * np.linspace(0, 2 * np.pi, 64)
        phase = phase + draw.uniform(0, 2 * np.pi, (600, 1))
        sine, saw = np.sin(phase), np.mod(phase / np.pi, 2) - 1
        shapes = np.stack([sine, np.sign(sine), np.arcsin(sine) / 1.571, saw])
        wave = shapes[label, np.arange(600)] + draw.normal(0, 0.3, (600, 64))
        super().__init__(split_seed, wave[:, None], label)
        first = nn.Conv1d(1, 16, 5), nn.ReLU(), nn.MaxPool1d(2)
        second = nn.Conv1d(16, 32, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(4)
        self.net = nn.Sequential(*first, *second, nn.Flatten(), *_perceptron(128, 32, 4))


class Photograph(Own):
    """A photograph of 48 × 48 grey values as a function of the coordinates."""

    epochs = 30
    batch_size = 64

    def __init__(self, split_seed: int = 0) -> None:
        grey = _tensor(load_sample_image("china.jpg").mean(-1) / 127.5 - 1)[None, None]
        value = F.interpolate(grey, (48, 48), mode="area").view(-1, 1)
        axis = np.linspace(-1, 1, 48)
        place = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        super().__init__(split_seed, place, value)
        self.net = _perceptron(2, 64, 64, 64, 1)


class Digits(OwnClassifier):
    """Handwritten digits, a small convolutional network, and stochastic gradient descent."""

    epochs = 8
    batch_size = 64
    lr = 0.02

    def __init__(self, split_seed: int = 0) -> None:
        digits = load_digits()
        super().__init__(split_seed, digits.images[:, None] / 16, digits.target)
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))

    def configure_optimizers(self) -> Any:
        """Return stochastic gradient descent with momentum."""
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class Cancer(OwnClassifier):
    """Breast cancer by thirty columns: batch normalisation, dropout and weight decay."""

    epochs = 15

    def __init__(self, split_seed: int = 0) -> None:
        x, y = load_breast_cancer(return_X_y=True)
        super().__init__(split_seed, _standardised(x), y)
        first = nn.Linear(30, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2)
        second = nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2)
        self.net = nn.Sequential(*first, *second, nn.Linear(32, 2))

    def configure_optimizers(self) -> Any:
        """Return AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=1e-2)


class Autoencoder(Own):
    """Handwritten digits through a bottleneck of eight numbers."""

    epochs = 15

    def __init__(self, split_seed: int = 0) -> None:
        x = load_digits().data / 16
        super().__init__(split_seed, x, x)
        self.net = nn.Sequential(*_perceptron(64, 64, 8), *_perceptron(8, 64, 64))


class Series(Own):
    """A chaotic series (Mackey and Glass, 1977), seven steps ahead by a recurrent network."""

    epochs = 20

    def __init__(self, split_seed: int = 0) -> None:
        x = [1.2] * 18
        for _ in range(33_800):
            x.append(x[-1] + 0.2 * x[-18] / (1 + x[-18] ** 10) - 0.1 * x[-1])
        windows = _standardised(np.array(x[200:33_800])).reshape(600, 56)
        noise = np.random.default_rng(0).normal(0, 0.05, (len(windows), 17))
        super().__init__(split_seed, (windows[:, :50:3] + noise)[..., None], windows[:, -1:])
        self.into, self.back = nn.Linear(1, 32), nn.Linear(32, 32)
        self.activation, self.head = nn.Tanh(), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the value to come."""
        state = x.new_zeros(len(x), 32)
        for step in range(17):
            state = self.activation(self.into(x[:, step]) + self.back(state))
        return self.head(state)


class Tokens(OwnClassifier):
    """How often the first token comes back, by a transformer with a schedule."""

    epochs = 12
    lr = 3e-3

    def __init__(self, split_seed: int = 0) -> None:
        tokens = np.random.default_rng(0).integers(0, 4, (800, 10))
        super().__init__(split_seed, tokens, (tokens[:, 1:] == tokens[:, :1]).sum(1))
        self.embedding = nn.Embedding(4, 32)
        self.position = nn.Parameter(0.1 * torch.randn(10, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, activation="gelu", batch_first=True)
        self.layers, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of each number."""
        return self.head(self.layers(self.embedding(x) + self.position)[:, 0])

    def configure_optimizers(self) -> Any:
        """Return AdamW, and a rate that falls to nothing."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs)]


class Deep(OwnClassifier):
    """Three arms of a spiral, and a network of ten narrow layers."""

    epochs = 20

    def __init__(self, split_seed: int = 0) -> None:
        draw = np.random.default_rng(0)
        arm, radius = np.arange(600) % 3, draw.uniform(0.1, 1, 600)
        angle = 4 * radius + arm * 2 * np.pi / 3 + draw.normal(0, 0.15, 600)
        place = 2 * radius * np.stack([np.cos(angle), np.sin(angle)])
        super().__init__(split_seed, place.T, arm)
        self.net = _perceptron(2, *[16] * 10, 3)


class Pendulum(Own):
    """The accelerations of a double pendulum, by a smooth network."""

    epochs = 25

    def __init__(self, split_seed: int = 0) -> None:
        state = np.random.default_rng(0).uniform(-2, 2, (800, 4))
        a, b, u, v = state.T  # angles and speeds; masses and lengths 1, gravity 9.81
        between = 3 - np.cos(2 * (a - b))
        pull = u * u * np.cos(a - b)
        first = -9.81 * (3 * np.sin(a) + np.sin(a - 2 * b)) - 2 * np.sin(a - b) * (v * v + pull)
        second = 2 * u * u + 2 * 9.81 * np.cos(a) + v * v * np.cos(a - b)
        y = np.stack([first, 2 * np.sin(a - b) * second]) / between
        super().__init__(split_seed, state, _standardised(y.T))
        self.net = _perceptron(4, 64, 64, 2, activation=nn.Tanh)


class Sets(OwnClassifier):
    """Which of four outlines twenty points are drawn from, in any order and turned."""

    epochs = 15

    def __init__(self, split_seed: int = 0) -> None:
        draw = np.random.default_rng(0)
        label, angle = np.arange(600) % 4, draw.uniform(0, 2 * np.pi, (600, 20))
        corners = np.array([3, 4, 5, 100])[label][:, None]  # so many make a circle
        sector = np.mod(angle, 2 * np.pi / corners) - np.pi / corners
        radius = np.cos(np.pi / corners) / np.cos(sector)
        angle = angle + draw.uniform(0, 2 * np.pi, (600, 1))
        points = radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
        super().__init__(split_seed, points + draw.normal(0, 0.03, points.shape), label)
        self.each, self.all = _perceptron(2, 64, 64), _perceptron(64, 64, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.all(self.each(x).amax(1))


OPEN = Table, Waves, Photograph, Digits, Cancer, Autoencoder, Series, Tokens, Deep

HELD_OUT = Pendulum, Sets
"""Those that nobody looks at while a search is changed: they are for its judgement alone."""
