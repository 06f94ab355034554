"""Measured columns of numbers: a CSV file whose first line names them, read strictly."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError


def read_header(path: str) -> list[str]:
    """Return the names of the columns of a CSV file, as :func:`read_columns` reads it."""
    lines = _lines(path)
    return lines[0] if lines else []


def read_columns(
    path: str,
    names: Sequence[str],
    missing: bool = False,
    words: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Tensor, ...]:
    """Return the columns of a CSV file in the order of their names, each ``(N,)`` in float64.

    Args:
        path: the file; its first line has the names, in any order, and no others.
        names: of the columns.
        missing: whether a value may be missing, an empty cell, which becomes NaN.
        words: further columns, each with the words that it may have; numbers count them from 0.

    Raises:
        InvalidValueError: no such file, other columns, a line of another length, or a value that is
            missing or no finite number, with its line.
    """
    lines, words = _lines(path), words or {}
    names = [*names, *words]
    header = lines[0] if lines else []
    if sorted(header) != sorted(names):
        raise InvalidValueError(
            f"{path} must have the columns {', '.join(names)}, but got"
            f" {', '.join(header) or 'none'}."
        )
    rows = [
        [_value(path, number, line, name, missing, words.get(name)) for name in names]
        for number, line in ((n, dict(zip(header, x, strict=False))) for n, x in _data(path, lines))
    ]
    return torch.tensor(rows, dtype=torch.float64).view(-1, len(names)).unbind(1)


def _lines(path: str) -> list[list[str]]:
    try:
        with Path(path).expanduser().open(newline="", encoding="utf-8-sig") as file:
            return [[cell.strip() for cell in line] for line in csv.reader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidValueError(
            f"{path} must be a CSV file, but reading it failed: {error}."
        ) from None


def _data(path: str, lines: list[list[str]]) -> list[tuple[int, list[str]]]:
    """Return each line of data with its number; a last empty one is left out."""
    found = [(number, line) for number, line in enumerate(lines[1:], 2) if line]
    for number, line in found:
        if len(line) != len(lines[0]):
            raise InvalidValueError(
                f"line {number} of {path} must have {len(lines[0])} values, but got {len(line)}."
            )
    return found


def _value(
    path: str,
    number: int,
    line: dict[str, str],
    name: str,
    missing: bool,
    words: Sequence[str] | None,
) -> float:
    if words is None:
        return math.nan if missing and not line[name] else _number(path, number, line, name)
    if line[name] not in words:
        raise InvalidValueError(
            f"{name} in line {number} of {path} must be {' or '.join(words)}, but got"
            f" {line[name]!r}."
        )
    return float(words.index(line[name]))


def _number(path: str, number: int, line: dict[str, str], name: str) -> float:
    try:
        value = float(line[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidValueError(
            f"{name} in line {number} of {path} must be a finite number, but got {line[name]!r}."
        )
    return value
