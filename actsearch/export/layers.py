"""Layers of torch as loops of C99."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from actsearch.export.loops import Loops, contiguous, index, nest, shape_of

Layer = Callable[..., Loops]


def linear(node: Node, x: Node, weight: Node, bias: Node | None = None) -> Loops:
    """Write ``y = W x + b`` of each row."""
    outputs, inputs = shape_of(weight)
    rows = prod(shape_of(x)) // inputs
    start = f"@{bias}@[i1]" if bias is not None else "0.0f"
    lines = nest(
        [rows, outputs],
        [
            f"float sum = {start};",
            f"for (int k = 0; k < {inputs}; k++)",
            f"    sum += @{weight}@[{inputs} * i1 + k] * @{x}@[{inputs} * i0 + k];",
            f"@{node}@[{outputs} * i0 + i1] = sum;",
        ],
    )
    total = rows * outputs * inputs
    return Loops(lines, Counter({"*": total, "+": total}))


def matrices(node: Node, a: Node, b: Node) -> Loops:
    """Write the product of two matrices, or of two stacks of them."""
    *batch, rows, inner = shape_of(a)
    columns, count = shape_of(b)[-1], prod(batch)
    lines = nest(
        [count, rows, columns],
        [
            "float sum = 0.0f;",
            f"for (int k = 0; k < {inner}; k++)",
            f"    sum += @{a}@[({rows} * i0 + i1) * {inner} + k]"
            f" * @{b}@[({inner} * i0 + k) * {columns} + i2];",
            f"@{node}@[({rows} * i0 + i1) * {columns} + i2] = sum;",
        ],
    )
    total = count * rows * columns * inner
    return Loops(lines, Counter({"*": total, "+": total}))


def _planes(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return channels, height and width; a series has the height 1."""
    return (shape[-2], 1, shape[-1]) if len(shape) == 3 else (shape[-3], shape[-2], shape[-1])


def _pair(values: int | Sequence[int], image: bool, missing: int) -> tuple[int, int]:
    given = [values] if isinstance(values, int) else list(values)
    if not image:
        return missing, given[0]
    return (given[0], given[-1])


def convolution(node: Node, x: Node, weight: Node, bias: Node | None, *how: Any) -> Loops:
    """Write a convolution of an image or of a series."""
    stride, padding, dilation, transposed, _, groups = how
    if transposed or len(shape_of(x)) not in (3, 4):
        raise TypeError("a transposed convolution, or one of a volume")
    image = len(shape_of(x)) == 4
    (_, height, width), (count, rows, columns) = _planes(shape_of(x)), _planes(shape_of(node))
    own, high, wide = _planes(shape_of(weight))
    (down, across), (top, left) = _pair(stride, image, 1), _pair(padding, image, 0)
    steps = _pair(dilation, image, 1)
    start = f"@{bias}@[i0]" if bias is not None else "0.0f"
    first = f"i0 / {count // groups} * {own} + j0" if groups > 1 else "j0"
    inner = nest(
        [own, high, wide],
        [
            f"const int r = {down} * i1 - {top} + {steps[0]} * j1;",
            f"const int c = {across} * i2 - {left} + {steps[1]} * j2;",
            f"if (r >= 0 && r < {height} && c >= 0 && c < {width})",
            f"    sum += @{weight}@[((i0 * {own} + j0) * {high} + j1) * {wide} + j2]"
            f" * @{x}@[(({first}) * {height} + r) * {width} + c];",
        ],
        "j",
    )
    store = f"@{node}@[(i0 * {rows} + i1) * {columns} + i2] = sum;"
    lines = nest([count, rows, columns], [f"float sum = {start};", *inner, store])
    total = count * rows * columns * own * high * wide
    return Loops(lines, Counter({"*": total, "+": total}))


def _pooling(
    node: Node, x: Node, kernel: tuple[int, int], stride: tuple[int, int],
    padding: tuple[int, int], start: str, take: str, end: str,
) -> list[str]:  # fmt: skip
    (_, height, width), (count, rows, columns) = _planes(shape_of(x)), _planes(shape_of(node))
    inner = nest(
        kernel,
        [
            f"const int r = {stride[0]} * i1 - {padding[0]} + j0;",
            f"const int c = {stride[1]} * i2 - {padding[1]} + j1;",
            f"if (r >= 0 && r < {height} && c >= 0 && c < {width})",
            f"    {take.format(f'@{x}@[(i0 * {height} + r) * {width} + c]')};",
        ],
        "j",
    )
    store = f"@{node}@[(i0 * {rows} + i1) * {columns} + i2] = {end};"
    return nest([count, rows, columns], [f"float value = {start};", *inner, store])


def max_pooling(
    node: Node, x: Node, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False,
) -> Loops:  # fmt: skip
    """Write the largest of each window."""
    if _pair(dilation, True, 1) != (1, 1):
        raise TypeError("dilation")
    size = _pair(kernel, True, 1)
    steps, edge = _pair(stride or kernel, True, 1), _pair(padding, True, 0)
    take = "if ({0} > value) value = {0}"
    lines = _pooling(node, x, size, steps, edge, "-INFINITY", take, "value")
    return Loops(lines, Counter({"<": prod(shape_of(node)) * prod(size)}))


def mean_pooling(
    node: Node, x: Node, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Loops:  # fmt: skip
    """Write the mean of each window."""
    size, edge = _pair(kernel, True, 1), _pair(padding, True, 0)
    if ceil_mode or (edge != (0, 0) and not count_include_pad):
        raise TypeError("ceil_mode, or edges that do not count")
    over = divisor_override or prod(size)
    steps = _pair(stride or kernel, True, 1)
    lines = _pooling(node, x, size, steps, edge, "0.0f", "value += {}", f"value / {over}.0f")
    outputs = prod(shape_of(node))
    return Loops(lines, Counter({"+": outputs * prod(size), "/": outputs}))


def adaptive_mean_pooling(node: Node, x: Node, output: Sequence[int]) -> Loops:
    """Write the mean of windows that divide the image."""
    _, height, width = _planes(shape_of(x))
    if height % output[0] or width % output[1]:
        raise TypeError("windows of unlike size")
    return mean_pooling(node, x, (height // output[0], width // output[1]))


REDUCED = {
    "sum": ("0.0f", "value += {}", "value"),
    "mean": ("0.0f", "value += {}", "value / {}.0f"),
    "amax": ("-INFINITY", "if ({0} > value) value = {0}", "value"),
    "amin": ("INFINITY", "if ({0} < value) value = {0}", "value"),
}


def reduction(
    how: str, node: Node, x: Node, dims: Any = None, keepdim: bool = False, **options: Any
) -> Loops:
    """Write a sum, a mean or an extreme over some dimensions."""
    shape, strides = shape_of(x), contiguous(shape_of(x))
    every = range(len(shape))
    chosen = [dims] if isinstance(dims, int) else list(dims or every)
    gone = [dim % len(shape) for dim in chosen]
    kept = [dim for dim in every if dim not in gone]
    start, take, end = REDUCED[how]
    outer = index([strides[dim] for dim in kept])
    inner = index([strides[dim] for dim in gone], letter="j")
    sizes, count = [shape[dim] for dim in kept], prod(shape[dim] for dim in gone)
    body = nest([shape[dim] for dim in gone], [f"{take.format(f'@{x}@[{outer} + {inner}]')};"], "j")
    store = f"@{node}@[{index(contiguous(sizes))}] = {end.format(count)};"
    lines = nest(sizes, [f"float value = {start};", *body, store])
    done = Counter({"<" if how.startswith("a") else "+": prod(shape)})
    return Loops(lines, done + Counter({"/": prod(sizes) if how == "mean" else 0}))


def concatenation(node: Node, parts: Sequence[Node], dim: int = 0) -> Loops:
    """Write several arrays one after the other."""
    shape, lines, at = shape_of(node), list[str](), 0
    dim %= len(shape)
    inner = prod(shape[dim + 1 :])
    for part in parts:
        size = shape_of(part)[dim] * inner
        to = f"@{node}@[{shape[dim] * inner} * i0 + {at} + i1]"
        lines += nest([prod(shape[:dim]), size], [f"{to} = @{part}@[{size} * i0 + i1];"])
        at += size
    return Loops(lines)


def padded(node: Node, x: Node, pad: Sequence[int], value: float = 0.0) -> Loops:
    """Write an array with a constant around it."""
    shape, outer = shape_of(x), shape_of(node)
    before = [0] * (len(shape) - len(pad) // 2) + list(pad[-2::-2])
    offset = sum(a * b for a, b in zip(before, contiguous(outer), strict=True))
    if min(pad) < 0:
        raise TypeError("a negative edge")
    fill = nest([prod(outer)], [f"@{node}@[i0] = {float(value)!r}f;"])
    to = f"@{node}@[{index(contiguous(outer), offset)}]"
    return Loops(fill + nest(shape, [f"{to} = @{x}@[{index(contiguous(shape))}];"]))


def strided(node: Node, x: Node, view: Tensor) -> Loops:
    """Write a view, such as a transpose or a slice, as an array of its own."""
    shape = tuple(view.shape)
    source = index(view.stride(), int(view.storage_offset()))
    return Loops(nest(shape, [f"@{node}@[{index(contiguous(shape))}] = @{x}@[{source}];"]))


LOOPS_OF: Mapping[str, Layer] = MappingProxyType(
    {
        "linear": linear,
        "mm": matrices,
        "bmm": matrices,
        "convolution": convolution,
        "max_pool2d_with_indices": max_pooling,
        "avg_pool2d": mean_pooling,
        "_adaptive_avg_pool2d": adaptive_mean_pooling,
        "cat": concatenation,
        "constant_pad_nd": padded,
        **{
            how: lambda node, *args, how=how, **options: reduction(how, node, *args, **options)
            for how in REDUCED
        },
    }
)
"""By the operation's name; each takes the node and the operation's own arguments.

A TypeError says which option has no form in C."""

VIEW_NAMES = frozenset(
    {
        "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "squeeze", "unsqueeze",
        "slice", "select", "expand", "alias", "detach", "clone", "diagonal", "unfold", "split",
        "split_with_sizes", "unbind",
    }
)  # fmt: skip
"""Operations that compute nothing."""


def view_of(node: Node) -> Any:
    """Return what a view makes of an array without gaps, without its data."""
    source = torch.empty(shape_of(node.args[0]), device="meta")  # type: ignore[arg-type]
    return node.target(source, *node.args[1:], **node.kwargs)  # type: ignore[operator]
