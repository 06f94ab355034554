"""Scripts of ``benchmarks/`` are no package: tests find them by their file names."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
