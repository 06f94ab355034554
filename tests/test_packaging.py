"""The three packages are ours, light to import, and the engine knows none of its content."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import actsearch
import search_spaces
import tasks


def test_packages_stand_side_by_side():
    folders = {Path(package.__path__[0]).parent for package in (actsearch, tasks, search_spaces)}
    assert len(folders) == 1


def test_no_other_project_ships_our_names():
    owners = packages_distributions()
    for name in ("tasks", "search_spaces", "actsearch"):
        assert set(owners.get(name, ["actsearch"])) == {"actsearch"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "from actsearch import Placement, activation, properties, find_sites",
            ("optuna", "mlflow", "lightning", "sklearn", "matplotlib"),
        ),
        ("import actsearch", ("torch", "optuna", "mlflow", "lightning", "pydantic")),
        ("import actsearch.cli.main", ("torch", "optuna", "mlflow", "lightning", "rich")),
    ],
)
def test_imports_are_light(statement, absent):
    check = f"{statement}; import sys; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_loads():
    for name in dir(actsearch):
        assert getattr(actsearch, name) is not None
