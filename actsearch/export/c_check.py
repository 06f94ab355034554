"""Compiles a file of C and runs its own test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from actsearch.errors import ExportError

COMPILED_WITH = ("-std=c99", "-O2", "-DACTSEARCH_TEST")


@dataclass(frozen=True)
class CheckedC:
    """What a file's own test says.

    Args:
        difference: the largest one from what torch gives.
        allowed: what may be off: 1e-6 of the largest output, or of 1.
        nanoseconds: processor time of a sample, where it was asked for.
    """

    difference: float
    allowed: float
    nanoseconds: float = 0.0


def c_compiler() -> str | None:
    """Return the C compiler of this machine: ``$CC``, else ``cc``, ``gcc`` or ``clang``."""
    names = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    return next((found for name in names if name and (found := shutil.which(name))), None)


def require_c_compiler(wanted: str) -> str:
    """Return the C compiler of this machine.

    Raises:
        ExportError: there is none.
    """
    compiler = c_compiler()
    if compiler is None:
        raise ExportError(
            f"a C compiler must be there for {wanted}, but cc, gcc and clang are not found. Install"
            " one, or compile the file elsewhere with -DACTSEARCH_TEST: it then tests itself."
        )
    return compiler


def check_c(path: str | Path, repeats: int = 0) -> CheckedC:
    """Compile a file that :func:`actsearch.export.write_c` wrote, and run its test.

    Args:
        path: the file.
        repeats: how often the test's samples are run for the time.

    Raises:
        ExportError: there is no compiler, or it does not compile, or its outputs differ.
    """
    compiler = require_c_compiler(str(path))
    with tempfile.TemporaryDirectory(prefix="actsearch-") as folder:
        program = Path(folder) / "network"
        timed = [f"-DACTSEARCH_REPEATS={repeats}"] * (repeats > 0)
        made = _run([compiler, *COMPILED_WITH, *timed, str(path), "-o", str(program), "-lm"])
        if made.returncode:
            reason = next(iter(made.stderr.strip().splitlines()), "no reason given")
            raise ExportError(f"{path} must compile, but {compiler} says: {reason}")
        ran = _run([str(program)])
    found = dict(re.findall(r"([a-z ]+?) ([-+.\de]+|inf|nan)", ran.stdout.replace(",", "")))
    told = {key.strip(): float(value) for key, value in found.items()}
    if ran.returncode or "largest difference" not in told:
        said = ran.stdout.strip() or "nothing"
        raise ExportError(f"{path} must give what torch gives, but its test says: {said}")
    return CheckedC(told["largest difference"], told["allowed"], told.get("nanoseconds", 0.0))


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603  # a compiler, and what it made
