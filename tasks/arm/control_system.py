"""A linearised loop as a system of the Python Control Systems Library."""

from __future__ import annotations

from typing import Any

import numpy as np

from actsearch.errors import TaskError

from .task import JointControl


def control_system(arm: JointControl) -> Any:
    """Return the linearised closed loop from reference to output, as python-control has it.

    For its margins, plots and designs::

        system = control_system(arm)
        control.poles(system), control.step_info(system), control.tf(system)

    Args:
        arm: the task, with the placement that is to be looked at.

    Raises:
        TaskError: python-control is not installed.

    References:
        The Python Control Systems Library (python-control), S. Fuller et al., 2021,
        https://doi.org/10.1109/CDC45484.2021.9683368
    """
    try:
        import control
    except ImportError:
        raise TaskError(
            "control_system needs python-control, which is not installed. Install it with"
            ' pip install "actsearch[control]".'
        ) from None
    by_state, by_reference, output = arm.closed_loop()
    return control.ss(by_state, by_reference[:, None], output[None], np.zeros((1, 1)))
