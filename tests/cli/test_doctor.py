"""Whether a search can work here, and a library that breaks is named wherever it does."""

from __future__ import annotations

import importlib
import os
import sqlite3
import subprocess
import sys

import pytest

import actsearch as package
from actsearch.cli.main import main
from actsearch.errors import ActsearchError
from actsearch.imports import why_broken
from actsearch.tracking.database import create_database

TRAP = "raise RuntimeError('operator torchvision::nms does not exist')\n"


@pytest.fixture
def torchvision(tmp_path):
    """Make a torchvision of another torch, as pip leaves it, and return its folder."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(TRAP)
    info = tmp_path / "torchvision-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1.0\n")
    return tmp_path


ASK = """
import actsearch
from actsearch.cli.main import main
try:
    main(["search", "classification"])
except SystemExit as end:
    print(end.code)
try:
    actsearch.run_search
except actsearch.ActsearchError as error:
    print(error)
"""


def test_a_torchvision_of_another_torch_is_named_by_the_command_and_in_python(torchvision):
    environment = os.environ | {"PYTHONPATH": str(torchvision)}
    line = [sys.executable, "-c", ASK]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith("2\n")
    for told in (done.stdout, done.stderr):
        assert "Traceback" not in told
        assert "cannot be imported, since torchvision" in told
        assert "pip uninstall torchvision" in told
        assert "actsearch doctor" in told


def test_an_error_of_a_users_own_module_is_no_librarys(tmp_path, monkeypatch):
    (tmp_path / "own_mistake.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError) as raised:
        importlib.import_module("own_mistake")
    assert why_broken(raised.value) == ""


@pytest.mark.parametrize(
    ("module", "extra"), [("sklearn", "search"), ("zuko", "flow"), ("onnxruntime", "edge")]
)
def test_a_missing_library_is_told_with_its_extra(module, extra):
    told = why_broken(ModuleNotFoundError(name=module))
    assert told == f"{module} must be installed for this. pip install 'actsearch[{extra}]'"
    assert why_broken(ModuleNotFoundError(name="somebody_elses")) == ""


def test_python_says_which_extra_a_name_needs(monkeypatch):
    monkeypatch.setitem(package._HOME, "run_search", "actsearch.nobody")
    missing = ModuleNotFoundError(name="optuna")
    monkeypatch.setattr(package, "import_module", lambda _: (_ for _ in ()).throw(missing))
    with pytest.raises(ActsearchError, match=r"pip install 'actsearch\[search\]'"):
        _ = package.run_search


def doctor(store, capsys):
    """Run the command, and return its code and what it found by name."""
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--store", str(store)])
    lines = capsys.readouterr().out.splitlines()
    return ended.value.code, {line[4:].split("  ")[0].strip(): line for line in lines if line}


def test_what_works_and_what_stands_in_a_store(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("actsearch.cli.doctor.COMPILED", ())
    code, found = doctor(tmp_path / "none", capsys)
    assert code == 0, found
    assert found["torch"].startswith("ok")
    assert found["extra search"].endswith("complete")
    assert "made by the first search" in found["store"]

    create_database(tmp_path)
    sqlite3.connect(tmp_path / "optuna.db").execute("CREATE TABLE alembic_version (version_num)")
    code, found = doctor(tmp_path, capsys)
    assert code == 2
    assert found["mlflow.db"].endswith("whole")
    assert found["optuna.db"].startswith("!!")
    assert "half made: it has no table trials" in found["optuna.db"]


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda file: file.write_bytes(b"no database at all" * 100), "cannot be read"),
        (
            lambda file: sqlite3.connect(file, isolation_level=None).execute(
                "UPDATE alembic_version SET version_num = 'older'"
            ),
            "of another version of MLflow: older, this one needs",
        ),
    ],
)
def test_a_database_that_mlflow_would_stumble_over(tmp_path, capsys, harm, told):
    create_database(tmp_path)
    harm(tmp_path / "mlflow.db")
    code, found = doctor(tmp_path, capsys)
    assert code == 2
    assert told in found["mlflow.db"]


def test_devices_that_torch_does_not_see_are_told(tmp_path, actsearch, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    ended = actsearch("doctor", "--store", tmp_path)
    assert ended.returncode == 2
    assert "!!  shared as          4, 7; each training gets its own" in ended.stdout
    assert "CUDA_VISIBLE_DEVICES or the driver names them, but torch" in ended.stdout
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: "one of NVIDIA")
    ended = actsearch("doctor", "--store", tmp_path)
    assert (ended.returncode, "ok  shared as          4, 7" in ended.stdout) == (0, True)
