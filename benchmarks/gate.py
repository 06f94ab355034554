"""What the gate refuses of random expressions, against how their trainings ended (the table in ``tables/gate``).

The table is made by

    python benchmarks/tables/make.py --problem digits_vgg --count 400 --folder
    benchmarks/tables/gate

Four convolutions with batch normalisation on digits; most expressions, as the grammar draws them,
end as NaN or at chance.
"""

from __future__ import annotations

import csv
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from actsearch.search import Gate

TABLE = Path(__file__).parent / "tables" / "gate" / "digits_vgg.csv"
DEAD, GOOD = 0.2, 0.9
"""Accuracies below and above which a training has ended at chance (0.1), or well (ReLU: 0.97)."""


def block(inputs: int, outputs: int) -> list[nn.Module]:
    """Return a convolution, its normalisation and its activation."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]


def main() -> None:
    """Print recall, false alarms and the time of a check."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    halve = nn.AvgPool2d(2)
    model = nn.Sequential(
        *block(1, 8), *block(8, 8), halve, *block(8, 16), *block(16, 16), halve, nn.Flatten()
    )
    model.append(nn.Linear(64, 10))
    images, labels = load_digits(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(images))[:64]
    x = torch.tensor(images[rows] / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    gate = Gate(
        model, ((x - x.mean()) / x.std(), torch.tensor(labels[rows])), nn.functional.cross_entropy
    )

    with TABLE.open(encoding="utf-8") as file:
        scores = {
            name: np.mean([float(v) for v in values])
            for name, *values in list(csv.reader(file))[1:]
        }
    begin = time.process_time()
    verdicts = {name: gate.check(name) for name in scores}
    each = (time.process_time() - begin) / len(scores)
    dead = [name for name, score in scores.items() if not score >= DEAD]
    good = [name for name, score in scores.items() if score >= GOOD]
    caught = sum(not verdicts[name] for name in dead)
    wronged = [name for name in good if not verdicts[name]]
    print(f"{len(scores)} expressions: {len(dead)} ended as NaN or at chance, {len(good)} well")
    print(
        f"refused of the dead {caught / len(dead):.1%}, of the good {len(wronged) / len(good):.1%}"
        f" {wronged}"
    )
    print(f"CPU seconds a check: {each:.3f}")
    for reason, count in Counter(
        v.reason.partition(":")[0] for v in verdicts.values() if not v
    ).most_common():
        print(f"  {reason}: {count}")


if __name__ == "__main__":
    main()
