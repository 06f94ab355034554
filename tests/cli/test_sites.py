"""``actsearch sites``: options wherever they stand, defaults that are functions, missing data."""

from __future__ import annotations

import json

CALLED = """
from collections.abc import Callable

class Called(Own):
    train_dataloader = L.LightningModule.train_dataloader

    def __init__(self, between: str | Callable = nn.functional.elu):
        super().__init__()
        self.between = between

    def forward(self, x):
        return self.net[1:](self.between(self.net[0](x)))
"""


def test_a_default_that_is_a_function_is_taken_as_it_is(own, actsearch, caplog):
    with (own / "own.py").open("a") as file:
        file.write(CALLED)
    shown = actsearch("sites", "own.Called", "--json")
    assert shown.returncode == 0, shown.stderr
    found = {one["site"]: one["activation"] for one in json.loads(shown.stdout)["sites"]}
    assert "elu" in found.values()
    assert "there are none. Give them by --data CLASS" in caplog.text
    plain = ("torch.nn.TransformerEncoderLayer", "--task.d_model=8", "--task.nhead=2")
    shown = actsearch("sites", *plain, "--include_gates", "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["totals"]["open"] == 1


def test_a_wrong_option_is_told_at_once(own, actsearch):
    told = actsearch("sites", "own.Own", "--task.widht", "3")
    assert "unknown option '--task.widht'; nearest: --task.width" in told.stderr
