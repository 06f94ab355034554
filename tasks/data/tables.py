"""Real tables: scikit-learn's own, OpenML by name, and ``.npz`` files; never unpickled."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from actsearch.errors import InvalidValueError, TaskError

SKLEARN_TABLES = ("iris", "wine", "breast_cancer", "diabetes")
NPZ_NAMES = (("x", "y"), ("images", "labels"))


@dataclass(frozen=True)
class Labelled:
    """Inputs with their targets, as they came.

    Args:
        x: inputs, float32: rows ``(N, D)`` or images ``(N, C, H, W)``.
        y: targets ``(N,)``: class numbers from 0, or values where ``classes`` is empty.
        classes: the name of every class.
    """

    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]


def labelled(x: np.ndarray, y: np.ndarray, classes: tuple[str, ...] = ()) -> Labelled:
    """Check inputs and class labels, and number the classes.

    Raises:
        InvalidValueError: lengths that differ, values that are not numbers, an infinite value, or a
            single class.
    """
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y):
        raise InvalidValueError(
            f"data must be N inputs with N labels, but got shapes {x.shape} and {y.shape}."
        )
    if not (np.issubdtype(x.dtype, np.number) or x.dtype == bool) or np.issubdtype(
        x.dtype, np.complexfloating
    ):
        raise InvalidValueError(
            f"inputs must be real numbers, but got {x.dtype}. Encode categories as numbers first."
        )
    x = np.ascontiguousarray(x, dtype=np.float32)
    if np.isinf(x).any():
        raise InvalidValueError(
            "inputs must be finite (NaN stands for a missing value), but got inf."
        )
    found, numbers = np.unique(y, return_inverse=True)
    if len(found) < 2:
        raise InvalidValueError(f"labels must have at least two classes, but got {len(found)}.")
    return Labelled(x, numbers.astype(np.int64), classes or tuple(map(str, found)))


def load_table(name: str) -> Labelled:
    """Return one of scikit-learn's tables, :data:`SKLEARN_TABLES`, by name.

    ``diabetes`` has values to predict, the others classes.
    """
    from sklearn import datasets

    table = getattr(datasets, f"load_{name}")()
    classes = tuple(map(str, table.get("target_names", ())))
    return Labelled(table.data.astype(np.float32), table.target, classes)


def load_openml(name: str, data_home: str | None = None) -> Labelled:
    """Return an OpenML data set by name, downloaded once into scikit-learn's cache.

    Categories become 0/1 columns.
    """
    import pandas as pd  # type: ignore[import-untyped]  # its stubs are a package of their own
    from sklearn.datasets import fetch_openml

    try:
        found = fetch_openml(name, as_frame=True, data_home=data_home)
    except Exception as error:  # no connection, no such set, a damaged cache: a type for each
        raise TaskError(
            f"OpenML data {name!r} cannot be read: {error}. Check the name and the connection."
        ) from error
    columns = pd.get_dummies(found.data, dtype=np.float32)
    return labelled(columns.to_numpy(np.float32), found.target.astype(str).to_numpy(str))


def read_arrays(path: str, wanted: Collection[str] | None = None) -> dict[str, np.ndarray | None]:
    """Return the arrays of an ``.npz`` file by name, those that are not wanted as ``None``.

    All are wanted where none is named.

    Raises:
        InvalidValueError: no such file, or pickled objects in a wanted array.
    """
    try:
        with np.load(Path(path).expanduser(), allow_pickle=False) as file:
            chosen = file.files if wanted is None else wanted
            return {key: file[key] if key in chosen else None for key in file.files}
    except (OSError, ValueError, AttributeError, BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise InvalidValueError(
            f"{path} must be an .npz file of plain arrays, but reading it failed: {reason}."
        ) from None


def read_npz(path: str) -> Labelled:
    """Return a file's arrays ``x`` and ``y``, or ``images`` and ``labels``.

    Images may be ``(N, H, W)``, ``(N, H, W, C)`` or ``(N, C, H, W)``; channels are taken to be last
    where the last dimension is 1, 3 or 4 and the second is not.

    Raises:
        InvalidValueError: no ``.npz`` file of such arrays.
    """
    arrays = read_arrays(path, {name for pair in NPZ_NAMES for name in pair})
    for inputs, labels in NPZ_NAMES:
        x, y = arrays.get(inputs), arrays.get(labels)
        if x is not None and y is not None:
            return labelled(channels_first(x), y)
    raise InvalidValueError(
        f"{path} must hold arrays x and y, or images and labels, but got"
        f" {', '.join(arrays) or 'none'}."
    )


def channels_first(x: np.ndarray) -> np.ndarray:
    """Return images as ``(N, C, H, W)``, and rows of a table as they are."""
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[-1] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        return x.transpose(0, 3, 1, 2)
    return x
