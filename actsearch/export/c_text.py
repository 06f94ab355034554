"""The text of a C file around the loops, and what an expression in it costs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from actsearch.export.elementwise import number

ALLOWED_SHARE = 1e-6
"""Of the largest output, or of 1 where that is larger."""

_ELEMENT = re.compile(r"@\w+@(\[[^]]*\])?")
_TOKEN = re.compile(
    r"(?P<number>\d+\.?\d*(?:e[-+]?\d+)?f?)|(?P<call>[a-z]\w*)\(|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<compare>[<>=!]=|[<>])|(?P<other>&&|\|\||[-+*/?!])"
)


def counted(expression: str) -> Counter[str]:
    """Return how often an expression does what; where elements stand is not counted.

    ``-`` counts as ``+``, each comparison as ``<``, and a choice as ``?``.

    >>> sorted(counted("t_a / (1.0f + expf(-t_a))").items())
    [('+', 2), ('/', 1), ('expf', 1)]
    """
    found: Counter[str] = Counter()
    for token in _TOKEN.finditer(_ELEMENT.sub("t", expression)):
        if token["call"]:
            found[token["call"]] += 1
        elif token["compare"]:
            found["<"] += 1
        elif token["other"]:
            found["+" if token["other"] == "-" else token["other"]] += 1
        elif token["name"] in ("float", "int"):
            found["cast"] += 1
    return found


def allowed(expected: Sequence[Tensor]) -> float:
    """Return by how much a file's outputs may be off, rounding being what it is."""
    return ALLOWED_SHARE * max(1.0, *(float(one.abs().max()) for one in expected))


def whole_file(
    constants: Mapping[str, Tensor],
    buffers: Sequence[int],
    inputs: Sequence[Sequence[int]],
    outputs: Sequence[Sequence[int]],
    body: Sequence[str],
    rows: Sequence[Tensor],
    expected: Sequence[Tensor],
) -> str:
    """Return a file of C99.

    Args:
        constants: weights by name.
        buffers: sizes of what is kept between layers.
        inputs: shape of each input, ``(1, *)``.
        outputs: shape of each output, likewise.
        body: of the function.
        rows: inputs of the test, samples first.
        expected: outputs of the test, samples first, flat.
    """
    xs, ys = (
        {name if len(shapes) == 1 else f"{name}_{i}": prod(one) for i, one in enumerate(shapes)}
        for name, shapes in (("x", inputs), ("y", outputs))
    )
    given = [f"const float *{name}" for name in xs] + [f"float *{name}" for name in ys]
    lines = [
        "/* Written by actsearch. One sample, in evaluation mode; not with -ffast-math.",
        *(f"   {name}: {_shape(one)} floats in" for name, one in zip(xs, inputs, strict=True)),
        *(f"   {name}: {_shape(one)} floats out" for name, one in zip(ys, outputs, strict=True)),
        "   The buffers are shared: one call at a time.",
        "   Its test: cc -std=c99 -O2 -DACTSEARCH_TEST FILE.c -lm && ./a.out */",
        "#include <math.h>",
        "",
        *(line for name, value in constants.items() for line in constant_array(name, value)),
        *(f"static float buffer_{slot}[{size}];" for slot, size in enumerate(buffers)),
        "",
        f"void network({', '.join(given)}) {{",
        *(f"    {line}" for line in body),
        "}",
        "",
        *_test(xs, ys, rows, expected),
    ]
    return "\n".join(lines) + "\n"


def constant_array(name: str, value: Tensor) -> list[str]:
    """Return the definition of an array.

    >>> constant_array("w", torch.tensor([1.0, 0.1]))
    ['static const float w[2] = {', '    1.0f, 0.100000001f};']
    """
    kind = "float" if value.is_floating_point() else "int"
    kind = "signed char" if value.dtype == torch.int8 else kind
    flat = value.detach().cpu().flatten()
    texts = [number(one) if kind == "float" else str(int(one)) for one in flat.tolist()]
    rows = [", ".join(texts[at : at + 8]) for at in range(0, len(texts), 8)]
    return [f"static const {kind} {name}[{len(texts)}] = {{", "    " + ",\n    ".join(rows) + "};"]


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape[1:])) or "1"


def _test(
    xs: Mapping[str, int], ys: Mapping[str, int], rows: Sequence[Tensor], expected: Sequence[Tensor]
) -> list[str]:
    count = len(rows[0])
    values = {
        **{f"test_{name}": row for name, row in zip(xs, rows, strict=True)},
        **{f"test_{name}": row for name, row in zip(ys, expected, strict=True)},
    }
    arrays = [
        line
        for name, value in values.items()
        for line in constant_array(name, value.reshape(count, -1))
    ]
    given = [f"&test_{name}[i * {size}]" for name, size in xs.items()]
    compared = [
        line
        for name, size in ys.items()
        for line in (
            f"        for (int k = 0; k < {size}; k++) {{",
            f"            const float off = fabsf({name}[k] - test_{name}[i * {size} + k]);",
            "            if (off > worst) worst = off;",
            "            if (!(off <= allowed)) wrong++;",
            "        }",
        )
    ]
    return [
        "#ifdef ACTSEARCH_TEST",
        "#include <stdio.h>",
        "#include <time.h>",
        *arrays,
        "",
        "int main(void) {",
        f"    const float allowed = {number(allowed(expected))};",
        "    float worst = 0.0f;",
        "    int wrong = 0;",
        *(f"    static float {name}[{size}];" for name, size in ys.items()),
        f"    for (int i = 0; i < {count}; i++) {{",
        f"        network({', '.join([*given, *ys])});",
        *compared,
        "    }",
        '    printf("largest difference %.9g, allowed %.9g\\n", worst, allowed);',
        "#ifdef ACTSEARCH_REPEATS",
        "    const clock_t start = clock();",
        "    for (long n = 0; n < ACTSEARCH_REPEATS; n++)",
        f"        for (int i = 0; i < {count}; i++) network({', '.join([*given, *ys])});",
        "    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;",
        f'    printf("nanoseconds %.9g\\n", 1e9 * seconds / ACTSEARCH_REPEATS / {count});',
        "#endif",
        "    return wrong != 0;",
        "}",
        "#endif",
    ]
