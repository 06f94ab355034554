"""Where in its owner's code a call stands: what tells a loop from calls that are written out.

A site is a path and the n-th call under it, as its name says (``layer1.0.relu@2``). A loop over
time is one site however long it is, while the same layer and function written out twice are two::

    for step in steps:                       left = relu(self.fc(x))
        state = tanh(self.cell(state))       right = relu(self.fc(-x))

Modules, functions and the order of calls are alike in both, so no count can tell them apart; the
instruction that makes the call can. It is compared within one trace alone and never kept, and of a
frame nothing counts but its code object and its place in it.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType

import torch.utils.checkpoint

CallSite = tuple[tuple[CodeType, int], ...]


def call_site(outermost: FrameType | None) -> tuple[CallSite, bool]:
    """Return the instruction of every frame from here up to a frame.

    Args:
        outermost: the first frame that does not count: the one that called the owner.

    Returns:
        the call site, and whether the call is inside a checkpointed function.
    """
    parts = []
    checkpointed = False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame is not outermost:
        parts.append((frame.f_code, frame.f_lasti))
        checkpointed |= frame.f_globals is vars(torch.utils.checkpoint)
        frame = frame.f_back
    return tuple(parts), checkpointed
