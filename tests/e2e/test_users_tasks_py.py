"""Files of the user's own, named ``tasks.py`` and ``search_spaces.py``, stand in no way.

Celery's and Invoke's are named so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

GO = """
import actsearch

if __name__ == "__main__":
    found = actsearch.run_search(
        "classification", "rectifiers", trials=2, confirm=0, learning_rate="fixed",
        config={"trainer.max_epochs": 1},
    )
    print(len(found.trials), found.trials[1].state.name)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("tasks", "search_spaces"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the user\\'s own')\n")
    (tmp_path / "go.py").write_text(GO)
    return tmp_path


def run(folder: Path, *command: str | Path) -> str:
    """Run a command as a user does, with the folder first on the path."""
    environment = os.environ | {"PYTHONPATH": "."}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_a_search_runs_beside_them(folder):
    assert run(folder, sys.executable, "go.py").splitlines() == ["2 COMPLETE"]


def test_the_lists_are_read_beside_them(folder):
    command = Path(sys.executable).parent / "actsearch"
    assert "rectifiers" in run(folder, command, "spaces")
    assert "classification" in run(folder, command, "tasks")
