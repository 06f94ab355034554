"""A network as one file of C99: weights, a function of one sample, and a test of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from actsearch.errors import ExportError
from actsearch.export.buffers import assign_buffers
from actsearch.export.c_text import whole_file
from actsearch.export.loops import shape_of
from actsearch.export.nests import ARRAY, NestWriter
from actsearch.export.traced import exportable, trace
from actsearch.placement.files import write_text


@dataclass(frozen=True)
class CSource:
    """A network in C.

    Args:
        text: of the file.
        flash_bytes: of its constants, the weights above all.
        ram_bytes: of its buffers; input and output are the caller's.
        counts: how often one sample needs each operation, such as ``*`` or ``expf``.
    """

    text: str
    flash_bytes: int
    ram_bytes: int
    counts: Counter[str]


def c_source(model: nn.Module, inputs: Sequence[Tensor]) -> CSource:
    """Return a model in evaluation mode as C99.

    One sample goes in and one comes out; the only header is ``math.h``, and nothing is allocated.
    Compiled with ``ACTSEARCH_TEST`` it has a ``main`` that compares at most ten of ``inputs`` with
    what torch makes of them, and fails beyond 1e-6 of the largest output (1e-6 where that is
    below 1). It may not be compiled with ``-ffast-math``, which reorders sums.

    Args:
        model: any module of float32.
        inputs: of its forward, samples first.

    Raises:
        ExportError: its forward is no fixed sequence of operations, or one of them has no form in
            C; the message names it.
    """
    rows = [tensor.detach()[:10] for tensor in inputs]
    if any(tensor.dtype != torch.float32 or tensor.is_cuda for tensor in rows):
        kinds = ", ".join(f"{tensor.dtype} on {tensor.device}" for tensor in rows)
        raise ExportError(
            f"inputs must be float32 on the processor to be written in C, but got {kinds}."
        )
    traced = trace(model, [tensor[:1] for tensor in rows])
    writer = NestWriter(traced)
    outputs = [writer.root(node) for node in traced.outputs]
    names, slots = assign_buffers(traced, writer.nests, outputs)
    body, read = list[str](), set[str]()
    for nest in writer.nests:
        body.append(f"/* {nest.title} */")
        body += [ARRAY.sub(lambda found: names[found[1]], line) for line in nest.loops.lines]
        read |= nest.reads
    constants = {names[n.name]: v for n, v in traced.constants.items() if n.name in read}
    text = whole_file(
        constants,
        slots,
        [shape_of(node) for node in traced.inputs],
        [shape_of(node) for node in traced.outputs],
        body,
        rows,
        _expected(model, rows),
    )
    flash = sum(tensor.numel() * tensor.element_size() for tensor in constants.values())
    counts = sum((nest.loops.counts for nest in writer.nests), Counter[str]())
    return CSource(text, flash, 4 * sum(slots), counts)


def counts_by_place(model: nn.Module, inputs: Sequence[Tensor]) -> dict[str, Counter[str]]:
    """Return how often each part of a model needs each operation for one sample, by its path.

    What is elementwise and stands side by side counts under all its paths together, with commas.
    """
    found: dict[str, Counter[str]] = {}
    for nest in NestWriter(trace(model, [tensor[:1] for tensor in inputs])).nests:
        place = nest.title.partition(": ")[0]
        found[place] = found.get(place, Counter()) + nest.loops.counts
    return found


def write_c(model: nn.Module, inputs: Sequence[Tensor], path: str | Path) -> CSource:
    """Write :func:`c_source` to a file."""
    source = c_source(model, inputs)
    write_text(Path(path), source.text)
    return source


def _expected(model: nn.Module, rows: Sequence[Tensor]) -> list[Tensor]:
    """Return what a model makes of each sample, flat."""
    with exportable(model) as forward:
        each = [
            torch.utils._pytree.tree_leaves(forward(*(t[i : i + 1] for t in rows)))
            for i in range(len(rows[0]))
        ]
    return [torch.stack([one.flatten() for one in column]) for column in zip(*each, strict=True)]
