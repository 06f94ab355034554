"""Sequences to learn from: images step by step, problems of long memory, text, one's own series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError, UnknownNameError

from .images import load_digits, load_labelled
from .tables import read_npz

MADE = ("adding", "copy")
SYMBOLS = 8
"""Symbols of the copying problem, beside the blank 0 and the sign to recall, 9."""

RECALLED = 10
"""Symbols that it asks for."""


@dataclass(frozen=True)
class SequenceData:
    """Sequences with what is asked for at their last steps.

    Args:
        x: numbers ``(N, T, F)``, or symbols ``(N, T)`` from 0.
        y: asked for at the last S steps, ``(N, S)``: classes from 0, or numbers.
        outputs: number of classes; 1 where numbers are asked for.
        symbols: number of symbols of x; 0 where x are numbers.
    """

    x: Tensor
    y: Tensor
    outputs: int
    symbols: int = 0


def load_sequences(name: str, length: int, samples: int) -> SequenceData:
    """Return sequences by name.

    Args:
        name: ``digits`` (64 pixels one after the other) or ``digits_rows`` (8 rows of 8);
            ``adding``, ``copy`` or ``text`` (the language reference that comes with Python); a
            ``.txt`` file; an ``.npz`` file with series x, ``(N, T)`` or ``(N, T, F)``, and labels
            y; or ``torchvision:NAME``, pixel by pixel.
        length: steps of adding and text, steps to remember of copy, at least 2.
        samples: of adding and copy, and of text at most.

    Raises:
        UnknownNameError: none of these.
        ActsearchError: data that cannot be read.
    """
    if name in MADE:
        generator = torch.Generator().manual_seed(0)
        return (adding if name == "adding" else copying)(length, samples, generator)
    if name == "text" or name.endswith(".txt"):
        return windows(_language_reference() if name == "text" else _read(name), length, samples)
    if name.endswith(".npz"):
        found = read_npz(name)
        x = torch.from_numpy(found.x).squeeze(1) if found.x.ndim == 4 else torch.from_numpy(found.x)
        x = x[..., None] if x.ndim == 2 else x
        if x.ndim != 3:
            raise InvalidValueError(
                f"x of {name} must be series (N, T) or (N, T, F), but got {found.x.shape}."
            )
    elif name in ("digits", "digits_rows"):
        found = load_digits()
        x = torch.from_numpy(found.x).reshape(-1, *((64, 1) if name == "digits" else (8, 8)))
    elif name.startswith("torchvision:"):
        found = load_labelled(name)
        x = torch.from_numpy(found.x).flatten(2).mT
    else:
        known = ("digits", "digits_rows", *MADE, "text")
        more = "Or a file that ends in .npz or .txt, or torchvision:NAME."
        raise UnknownNameError.among("data", name, known, more)
    return SequenceData(x, torch.from_numpy(found.y)[:, None], len(found.classes))


def adding(length: int, samples: int, generator: torch.Generator) -> SequenceData:
    """Return the adding problem: the sum of the two values that are marked, one in each half.

    Values are uniform in [0, 1]; who always answers the mean has the squared error 1/6.

    References:
        Long Short-Term Memory, S. Hochreiter and J. Schmidhuber, 1997,
        https://doi.org/10.1162/neco.1997.9.8.1735
    """
    values = torch.rand(samples, length, generator=generator)
    half = length // 2
    first = torch.randint(half, (samples, 1), generator=generator)
    second = torch.randint(half, length, (samples, 1), generator=generator)
    marked = torch.cat([first, second], 1)
    marks = torch.zeros_like(values).scatter_(1, marked, 1.0)
    return SequenceData(
        torch.stack([values, marks], 2), values.gather(1, marked).sum(1, keepdim=True), 1
    )


def copying(length: int, samples: int, generator: torch.Generator) -> SequenceData:
    """Return the copying problem: ten symbols, to be recalled after ``length`` blank steps.

    Who forgets them has the loss log 8.

    References:
        Unitary Evolution Recurrent Neural Networks, M. Arjovsky, A. Shah and Y. Bengio, 2016,
        https://arxiv.org/abs/1511.06464
    """
    asked = torch.randint(1, SYMBOLS + 1, (samples, RECALLED), generator=generator)
    x = torch.zeros(samples, length + 2 * RECALLED, dtype=torch.long)
    x[:, :RECALLED] = asked
    x[:, -RECALLED] = SYMBOLS + 1
    return SequenceData(x, asked - 1, SYMBOLS, SYMBOLS + 2)


def windows(text: str, length: int, samples: int) -> SequenceData:
    """Return pieces of a text, none over another; at each step the next character is asked for.

    Raises:
        InvalidValueError: a text of fewer than 10 pieces, or of a single character.
    """
    known = sorted(set(text))
    if len(text) < 10 * (length + 1) or len(known) < 2:
        raise InvalidValueError(
            f"a text must have at least {10 * (length + 1)} characters, two of them different, but"
            f" got {len(text)} and {len(known)}. Shorten length."
        )
    number = {character: index for index, character in enumerate(known)}
    tokens = torch.tensor([number[character] for character in text])
    pieces = tokens.unfold(0, length + 1, length + 1)
    chosen = pieces[torch.linspace(0, len(pieces) - 1, min(samples, len(pieces))).long()]
    return SequenceData(chosen[:, :-1], chosen[:, 1:], len(known), len(known))


def _language_reference() -> str:
    """Return the help texts that come with Python: real English, 465 thousand characters."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _read(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidValueError(
            f"{path} must be a text file in UTF-8, but reading it failed: {reason}."
        ) from None
