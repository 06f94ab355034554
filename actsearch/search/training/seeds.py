"""Random numbers from what they are for: the same on every machine, straight or resumed."""

from __future__ import annotations

import hashlib
from typing import Any


def derive(*parts: Any) -> int:
    """Return a 32-bit seed from parts, the same on every machine.

    >>> derive(0, 7) == derive(0, 7) != derive(0, 8)
    True
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")
