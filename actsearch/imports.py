"""Libraries that are missing or cannot be imported, told in one line with the way out."""

from __future__ import annotations

import re
import traceback
from importlib import metadata

OWN = ("torch", "lightning", "pytorch_lightning", "torchmetrics", "optuna", "mlflow", "sklearn")
"""What a search imports and what breaks where one of its own libraries does not fit."""

COMPILED = ("torchvision", "torchaudio")
"""What is built for one version of torch, is imported by many, and breaks them all."""


def why_broken(error: BaseException) -> str:
    """Return why a library cannot be imported, and the way out; empty where that is no library's.

    Args:
        error: what was raised, with its traceback.
    """
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_of(error.name or "")):
        return f"{error.name} must be installed for this. pip install 'actsearch[{extra}]'"
    importing = [
        str(frame.f_globals.get("__name__", "")).partition(".")[0]
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name == "<module>"
    ]
    wanted = next((name for name in importing if name in (*OWN, *COMPILED)), "")
    if not wanted:
        return ""
    culprit = next((name for name in importing if name in COMPILED), importing[-1])
    through = "" if culprit == wanted else f", since {culprit}, which it imports, does not work"
    text = " ".join(str(error).split())[:300]
    return (
        f"{wanted} cannot be imported{through}: {type(error).__name__}: {text.rstrip('.')}."
        f" {_way_out(culprit)} `actsearch doctor` looks at the rest."
    )


def installed(distribution: str) -> str:
    """Return the version of a distribution; empty where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _way_out(culprit: str) -> str:
    if culprit in COMPILED:
        return (
            f"{culprit} {installed(culprit)} must be the build for torch {installed('torch')}:"
            f" install that one, or pip uninstall {culprit}, which actsearch does not need."
        )
    return f"Install it again: pip install --force-reinstall {culprit}"


def extras() -> dict[str, dict[str, str]]:
    """Return what each extra of actsearch brings: distributions with the versions they must have.

    >>> sorted(extras()["flow"])
    ['zuko']
    """
    found: dict[str, dict[str, str]] = {}
    for text in metadata.requires("actsearch") or ():
        one = re.match(r"([\w.-]+)(?:\[.*?\])?(.*?); extra == .(\w+).$", text)
        if one and one[1] != "actsearch":
            found.setdefault(one[3], {})[one[1]] = one[2].strip()
    return found


def _extra_of(module: str) -> str:
    """Return the extra of actsearch that brings a module, or nothing."""
    known = {"sklearn": "scikit-learn", "skimage": "scikit-image", "PIL": "pillow"}
    known |= {"ruamel": "ruamel.yaml", "packaging": "lightning", "pandas": "mlflow"}
    top = module.partition(".")[0]
    wanted = known.get(top, top).replace("_", "-")
    return next(
        (e for e, brings in extras().items() if wanted in {n.replace("_", "-") for n in brings}), ""
    )
