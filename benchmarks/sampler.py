"""Replay the shipped tables with every sampler; write the table and the picture beside this file.

python benchmarks/sampler.py                             # about ten minutes
python benchmarks/sampler.py --samplers tpe function_space --trainings 400 --seeds 3
"""

from __future__ import annotations

import argparse
from pathlib import Path

from actsearch.search.bench import SAMPLERS, TABLES, as_text, bench_sampler, picture


def main() -> None:
    """Run the benchmark that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=SAMPLERS)
    parser.add_argument("--tables", type=Path, default=TABLES)
    parser.add_argument("--trainings", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--picture", type=Path, default=Path("sampler.png"))
    options = parser.parse_args()
    result = bench_sampler(options.samplers, options.tables, options.trainings, options.seeds, print)
    print(as_text(result))
    print(f"picture: {picture(result, options.picture)}")


if __name__ == "__main__":
    main()
