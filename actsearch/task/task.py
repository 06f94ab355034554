"""What a task is: an ordinary LightningModule that also says what it is judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import lightning as L

Mode = Literal["min", "max"]


class Task(L.LightningModule):
    """A LightningModule with its data, its sites, and the metric that it is judged by.

    A subclass defines its own ``train_dataloader``, ``val_dataloader`` and ``test_dataloader`` (the
    test split is touched by ``test_step`` alone), logs ``monitor`` once an epoch in validation and
    ``test_metric`` in test, and sets Lightning's ``example_input_array`` to one input of
    :meth:`forward`, from which its sites are found. Every argument of its constructor is an option
    of the command line (``--task.hidden 128``), explained by its docstring.

    Where the data fit in memory, :class:`actsearch.task.tensor_task.TensorTask` does most of this.
    The laws that hold for every task are tests to inherit, :class:`actsearch.task.laws.TaskLaws`.

    Attributes:
        monitor: the metric that a search optimises, logged in validation.
        mode: ``"max"`` or ``"min"``.
        test_metric: the metric that a confirmation reports, logged in test.
        space: name of the search space it starts from.
        trainer_defaults: options of Lightning's trainer that suit it, such as ``{"max_epochs":
            20}``.
        search_defaults: options of a search that suit it, of ``trials``, ``confirm`` and ``seeds``;
            fewer where a training takes long.
    """

    monitor: ClassVar[str] = "val_loss"
    mode: ClassVar[Mode] = "min"
    test_metric: ClassVar[str] = "test_loss"
    space: ClassVar[str] = "general"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 10}
    search_defaults: ClassVar[dict[str, Any]] = {}

    def pictures(self, folder: Path) -> None:
        """Write into ``folder`` the pictures (PNG) that a person would look at after training.

        None by default.
        """
