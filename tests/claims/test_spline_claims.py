"""Which degree a function wants: relative error of its value on held-out points."""

import pytest
import torch

from actsearch.task import laws
from actsearch_tasks.spline import Spline

pytestmark = [pytest.mark.claim, pytest.mark.long]


@pytest.mark.parametrize(
    ("target", "best", "worse"), [("kink", 1, 3), ("bend", 2, 1), ("tone", 5, 1)]
)
def test_the_degree_that_has_the_functions_smoothness_fits_best(target, best, worse, claim):
    torch.set_num_threads(1)
    found = {
        degree: [
            laws.fit(laws.build_task(Spline, {"target": target, "degree": degree}, seed), 6)[
                "val_error/value"
            ]
            for seed in range(3)
        ]
        for degree in (1, 2, 3, 5)
    }
    each = "; ".join(", ".join(f"{x:.2g}" for x in errors) for errors in found.values())
    wanted = f"degree {best} below half of degree {worse}, each seed"
    claim(f"spline, {target}, degrees 1, 2, 3, 5, seeds 0 to 2", each, wanted)
    assert max(found[best]) < 0.5 * min(found[worse])
