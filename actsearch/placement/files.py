"""Files of ours: written whole or not at all, fetched from MLflow, explained in one line."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import Any

from pydantic import ValidationError

from actsearch.errors import PlacementError


def write_text(path: Path, text: str) -> Path:
    """Write a file of text as :func:`write_bytes` does."""
    return write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file so that a reader sees the old or the new one, whole: temporary, fsync, rename.

    With the umask's mode.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def read_text(path: Path, most: int) -> str:
    """Return the text of a file of at most so many bytes.

    Raises:
        ValueError: no regular file (a pipe or a device would never end), too large, or not UTF-8.
        OSError: it is not there, or not readable.
    """
    if not S_ISREG(path.stat().st_mode):
        raise ValueError("it must be a regular file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it must have at most {most} bytes")
    return content.decode("utf-8")


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, whose keys must differ."""
    data = dict(pairs)
    if len(data) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice!r} is given twice, where one is meant")
    return data


def download(uri: str, folder: str) -> Path:
    """Fetch a placement from MLflow.

    From where ``MLFLOW_TRACKING_URI`` points, else from the store in ``mlruns``.

    Raises:
        PlacementError: MLflow is not installed, or does not have it.
    """
    store = Path("mlruns/mlflow.db").absolute()
    tracking = (
        f"sqlite:///{store}"
        if store.exists() and not os.environ.get("MLFLOW_TRACKING_URI")
        else None
    )
    try:
        # Only where asked for: MLflow stays out of training code.
        from mlflow.artifacts import download_artifacts
        from mlflow.tracking import is_tracking_uri_set
    except ImportError:
        raise PlacementError(
            f"{uri} must be read through MLflow, which is not installed. Pass a file instead."
        ) from None
    if tracking is None and not is_tracking_uri_set():  # MLflow would make an empty store here
        raise PlacementError(
            f"{uri} must be in a store of MLflow, but MLFLOW_TRACKING_URI is not set and there is"
            f" no {store}. Set it, or go to the folder of the study."
        )
    try:
        with _without_progress_bars():
            return Path(
                download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=tracking)
            )
    except Exception as error:  # whatever a store or a server raises: told with its cause
        raise PlacementError(f"{uri} cannot be read from MLflow: {error}.") from error


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    name = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def explain(error: ValidationError) -> str:
    """Return pydantic's first complaint in one line, with the field that it is about."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    cause = first.get("ctx", {}).get("error")
    message = first["msg"] if cause is None else str(cause)
    return f"{where}: {message}" if where else message
