"""The three packages are ours, whole in the wheel, and light to import.

The engine knows none of its content.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

import actsearch
from actsearch.activations.registry import catalogue
from actsearch.imports import extras

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "actsearch": "actsearch",
    "actsearch_tasks": "tasks",
    "actsearch_search_spaces": "search_spaces",
}


def test_installed_names_lead_to_the_folders_of_this_checkout():
    for name, folder in FOLDERS.items():
        (place,) = importlib.util.find_spec(name).submodule_search_locations
        assert Path(place).samefile(ROOT / folder)


def test_no_other_project_ships_our_names():
    owners = packages_distributions()
    for name in FOLDERS:
        assert set(owners[name]) == {"actsearch"}
    for name in ("tasks", "search_spaces"):
        assert "actsearch" not in owners.get(name, [])


def test_nothing_imports_a_folder_by_a_name_that_only_the_checkout_knows():
    folder = re.compile(r"^\s*(from|import) +(tasks|search_spaces)\b", re.MULTILINE)
    files = [
        file
        for name in (*FOLDERS.values(), "tests", "benchmarks")
        for file in (ROOT / name).rglob("*.py")
    ]
    assert [str(file) for file in files if folder.search(file.read_text(encoding="utf-8"))] == []


def test_the_wheel_holds_every_file_under_its_installed_name(tmp_path):
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, tmp_path],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=True,
    )
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == {
        f"{name}/{file.relative_to(ROOT / folder).as_posix()}"
        for name, folder in FOLDERS.items()
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    left = [*ROOT.glob("build"), *ROOT.glob("*.egg-info")]
    assert left == [], "a build folder in the checkout would ship files deleted since"


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
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


REUSE = """
import sys
sys.modules.update(dict.fromkeys({absent!r}))
import torch
from torch import nn
from actsearch import Placement, Site, find_sites, properties
from actsearch.activations.registry import catalogue
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), Site("tanh"))
placement = Placement.uniform("swish", find_sites(model, torch.zeros(1, 4)))
Placement.load(placement.save("best.json")).apply(model)
known = [properties(name).smoothness for name in catalogue()]
print(len(placement.optimizer_parameters(model, lr=1e-3)), len(known))
"""


def test_reuse_needs_nothing_that_a_search_needs(tmp_path):
    modules = {"scikit-learn": "sklearn", "pillow": "PIL", "ruamel.yaml": "ruamel"}
    absent = [modules.get(name, name) for name in extras()["search"]]
    absent.remove("filelock")  # torch's own
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REUSE.format(absent=[*absent, "packaging"])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"2 {len(catalogue())}\n"


def test_every_public_name_loads():
    for name in dir(actsearch):
        assert getattr(actsearch, name) is not None
