"""The command itself: its end, and what it says when it is stopped."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEFT = """
import atexit, sys, threading
from actsearch.cli.main import main

class TornDown:
    def __del__(self):
        print("torn down")

kept = TornDown()
atexit.register(print, "at exit")
threading.Thread(target=lambda: (threading.main_thread().join(), print("thread"))).start()
sys.argv = ["actsearch", *{arguments!r}]
main()
"""


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["serch"], 2)])
def test_the_process_ends_when_all_is_done_and_not_later(arguments, code):
    done = subprocess.run(
        [sys.executable, "-c", LEFT.format(arguments=arguments)], capture_output=True, text=True
    )
    assert done.returncode == code
    assert done.stdout.splitlines()[-2:] == ["thread", "at exit"]


@pytest.mark.parametrize(
    ("arguments", "way_on"),
    [
        (["search", "own.Own", "--objective", "[a:max,b:min]"], "'[a:max,b:min]'"),
        (["studies"], "stopped.\n"),
    ],
)
def test_what_can_go_on_says_how(arguments, way_on, actsearch, monkeypatch):
    def stopped(words):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"actsearch.cli.{arguments[0]}.run", stopped)
    told = actsearch(*arguments)
    assert told.returncode == 130
    assert way_on in told.stderr
    assert ("Go on with the same command" in told.stderr) is (arguments[0] == "search")


def test_help_of_a_command(actsearch):
    assert actsearch("help", "studies").stdout == actsearch("studies", "--help").stdout
    assert "studies" in actsearch("help").stdout


WRITTEN = """
import sys
import optuna
from actsearch.cli.main import main
from actsearch.search.study.store import Store

store = Store("store")
study = optuna.create_study(storage=store.storage(create=True), study_name="s")
study.enqueue_trial({})
sys.argv = ["actsearch", "studies", "--store", "store"]
main()
"""


def test_the_record_is_whole_in_its_file_at_the_end(tmp_path):
    command = [sys.executable, "-c", WRITTEN]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "store").glob("optuna.db*")] == ["optuna.db"]
