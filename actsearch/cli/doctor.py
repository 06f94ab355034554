"""``actsearch doctor``: whether a search can work here, and what to do where it cannot."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from actsearch.cli.options import add_store, parse_arguments
from actsearch.imports import COMPILED, extras, installed, why_broken


class Finding(NamedTuple):
    """What was looked at, what is there, and the way out where that does not work."""

    what: str
    found: str
    way_out: str = ""


def run(arguments: list[str]) -> int:
    """Run the command; 2 where something does not work."""
    parser = argparse.ArgumentParser(
        prog="actsearch doctor",
        description="Tell whether a search can work here, and what to do where it cannot.",
    )
    add_store(parser)
    options = parse_arguments(parser, arguments)
    broken = 0
    store = _store(Path(options.store).absolute())
    for group in (_libraries(), _extras(), _machine(), store, _record(options.record)):
        for finding in group:
            broken += bool(finding.way_out)
            print(f"{'!!' if finding.way_out else 'ok'}  {finding.what:<18} {finding.found}")
            if finding.way_out:
                print(f"    {'':<18} {finding.way_out}")
    print(f"\n{broken} of these need your hand." if broken else "\nAll of this works.")
    return 2 if broken else 0


def _libraries() -> Iterator[Finding]:
    yield Finding("python", platform.python_version())
    yield Finding("actsearch", installed("actsearch"))
    for name in ("torch", "lightning", "pytorch_lightning", "optuna", "mlflow", *COMPILED):
        version = installed(name)
        if not version:
            if name not in ("pytorch_lightning", *COMPILED):
                way_out = "pip install 'actsearch[search]'; reuse of a placement needs torch alone."
                yield Finding(name, "not installed", way_out)
            continue
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a broken library raises
            yield Finding(name, version, why_broken(error) or f"{type(error).__name__}: {error}")
        else:
            yield Finding(name, version)


def _extras() -> Iterator[Finding]:
    """Look at what single tasks need; what is not there is no fault."""
    for extra, brings in extras().items():
        way_out = f"pip install 'actsearch[{extra}]'"
        lacking = [name for name in brings if not installed(name)]
        wrong = [
            f"{name} {installed(name)} is not {rule}"
            for name, rule in brings.items()
            if name not in lacking and not _fits(installed(name), rule)
        ]
        if wrong:
            yield Finding(f"extra {extra}", "; ".join(wrong), way_out)
        else:
            found = f"without {', '.join(lacking)}: {way_out}" if lacking else "complete"
            yield Finding(f"extra {extra}", found)


def _fits(version: str, rule: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:  # comes with the search; what is missing is told anyway
        return True
    return SpecifierSet(rule).contains(version, prereleases=True)


def _machine() -> Iterator[Finding]:
    from actsearch.search.executors.resources import VISIBLE, visible_devices
    from actsearch.search.executors.threads import THREADS, usable_cores

    cores, given = usable_cores(), {n: os.environ[n] for n in THREADS if n in os.environ}
    told = ", ".join(f"{name}={value}" for name, value in given.items()) or "shared by --jobs"
    yield Finding("cores", f"{cores} that may be used; threads: {told}")
    try:
        import torch
    except Exception:  # told above
        return
    ray = installed("ray")
    more = f"or ray {ray}: --executor ray" if ray else "on several machines by the extra ray"
    yield Finding("executor", f"local, a process for each training; {more}")
    kinds = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    kinds += ["Apple's"] if torch.backends.mps.is_available() else []
    yield Finding("accelerators", ", ".join(kinds) or "none: trainings run on the CPU")
    if names := visible_devices():
        told = f"{VISIBLE} or the driver names them, but torch {torch.__version__} sees none."
        shown = f"{', '.join(names)}; each training gets its own"
        yield Finding("shared as", shown, "" if kinds else told)


def _store(root: Path) -> Iterator[Finding]:
    try:
        from actsearch.search.study.store import NEEDED_BYTES
    except Exception:  # told above
        return
    if not root.exists():
        yield Finding("store", f"{root}: made by the first search")
        return
    if not os.access(root, os.W_OK):
        yield Finding("store", f"{root} is read-only", "Studies can be shown. Else pass --store.")
    elif (free := shutil.disk_usage(root).free) < NEEDED_BYTES:
        yield Finding("store", f"{root} has {free >> 20} MB of disk left", "Make room.")
    else:
        yield Finding("store", f"{root}, {free >> 30} GB of disk left")
    for name, way_out in (
        ("optuna.db", "Put back a copy, or move it away: its studies begin anew."),
        ("mlflow.db", "Move it away: `actsearch sync STUDY` brings each study over again."),
    ):
        if (root / name).exists():
            problem = _database(root / name)
            yield Finding(name, problem or "whole", way_out if problem else "")


def _record(given: str) -> Iterator[Finding]:
    """Look at a record in PostgreSQL, where one is named."""
    from actsearch.errors import ActsearchError
    from actsearch.search.study.record_url import chosen_record

    try:
        if not (url := chosen_record(given)):
            return
        from actsearch.search.study.postgresql_record import PostgresqlRecord

        record = PostgresqlRecord(url)
        yield Finding("record", f"{url}: {record.described()}")
        if record.exists():
            record.open(create=False)
    except ActsearchError as error:
        yield Finding("record", "cannot be used", str(error))
    except Exception:  # a library that is told above
        return


def _database(path: Path) -> str:
    """Return what is wrong with a database, read only."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            ((state,),) = connection.execute("PRAGMA quick_check(1)")
            if state != "ok":
                return str(state)
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        return f"cannot be read: {error}"
    needed = "trials" if path.name == "optuna.db" else "runs"
    if needed not in tables:
        return f"half made: it has no table {needed}"
    if path.name == "mlflow.db" and (head := _newest_schema()) and found != (head,):
        return f"of another version of MLflow: {found and found[0]}, this one needs {head}"
    return ""


def _newest_schema() -> str:
    """Return the version of MLflow's tables that the installed MLflow needs."""
    try:
        from mlflow.store.db import utils

        return str(utils._get_latest_schema_revision())
    except Exception:  # not installed or not to be asked: told above, or not known
        return ""
