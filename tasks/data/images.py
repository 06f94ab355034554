"""Labelled data by name: real images, and tables.

Scikit-learn's digits, ``.npz`` files, OpenML, and torchvision's sets where the user has them.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from actsearch.errors import InvalidValueError, TaskError, UnknownNameError

from .tables import SKLEARN_TABLES, Labelled, labelled, load_openml, load_table, read_npz


def load_digits() -> Labelled:
    """Return scikit-learn's 1,797 handwritten digits, 8×8 pixels in [0, 1]."""
    from sklearn import datasets

    digits = datasets.load_digits()
    images = digits.images[:, None].astype(np.float32) / 16
    return Labelled(images, digits.target.astype(np.int64), tuple(map(str, range(10))))


def load_torchvision(name: str, data_home: str | None) -> Labelled:
    """Return the training part of a torchvision set that lies in ``data_home`` already."""
    try:
        sets: Any = importlib.import_module("torchvision.datasets")
    except (ImportError, RuntimeError) as error:  # RuntimeError: a build for another torch
        raise TaskError(
            f"torchvision:{name} needs torchvision, which cannot be imported: {error}."
        ) from None
    if name not in sets.__all__:
        raise UnknownNameError.among("torchvision data set", name, sets.__all__)
    try:
        data = getattr(sets, name)(data_home or "data", download=False)
        pairs = [(np.asarray(image), int(label)) for image, label in data]
    except Exception as error:  # each of torchvision's sets fails in its own way
        raise TaskError(
            f"torchvision:{name} cannot be read from {data_home or 'data'}: {error}."
        ) from error
    images = np.stack(
        [image[None] if image.ndim == 2 else image.transpose(2, 0, 1) for image, _ in pairs]
    )
    return labelled(images.astype(np.float32) / 255, np.array([label for _, label in pairs]))


def load_labelled(
    data: str, data_home: str | None = None, image_shape: tuple[int, int, int] | None = None
) -> Labelled:
    """Return labelled data by name.

    Args:
        data: ``digits``, ``iris``, ``wine`` or ``breast_cancer``; ``openml:NAME``;
            ``torchvision:NAME``; or an ``.npz`` file.
        data_home: folder of downloaded data, where the set has one.
        image_shape: channels, height and width to read rows of a table as images.

    Raises:
        UnknownNameError: none of these.
        InvalidValueError: data that is not labelled by class, or rows that do not fit
            ``image_shape``.
        TaskError: data that cannot be read.
    """
    source, _, name = data.partition(":")
    if data.endswith(".npz"):
        found = read_npz(data)
    elif source == "openml" and name:
        found = load_openml(name, data_home)
    elif source == "torchvision" and name:
        found = load_torchvision(name, data_home)
    elif data == "digits":
        found = load_digits()
    elif data in SKLEARN_TABLES:
        found = load_table(data)
    else:
        known = ("digits", *SKLEARN_TABLES)
        raise UnknownNameError.among(
            "data", data, known, "Or openml:NAME, torchvision:NAME, or a file that ends in .npz."
        )
    if not found.classes:
        raise InvalidValueError(
            f"data must be labelled by class, but {data} has values to predict. Choose another set."
        )
    if image_shape is None or found.x.shape[1:] == tuple(image_shape):
        return found
    if min(image_shape) < 1 or np.prod(image_shape) != np.prod(found.x.shape[1:]):
        raise InvalidValueError(
            f"image_shape must fit inputs of shape {found.x.shape[1:]}, but got"
            f" {tuple(image_shape)}."
        )
    return Labelled(found.x.reshape(-1, *image_shape), found.y, found.classes)
