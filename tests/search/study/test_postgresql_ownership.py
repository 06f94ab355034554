"""Who runs a study of a shared record: one process at a time, whatever becomes of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import optuna
import pytest

from actsearch.errors import InvalidValueError, StudyError
from actsearch.search.study.store import Store

from ...tcp_proxy import TcpProxy

OWNER = """
import sys, time
import optuna
from actsearch.errors import StudyError
from actsearch.search.study.store import Store

store = Store(sys.argv[1], sys.argv[2])
try:
    with store.owned("s"):
        study = optuna.create_study(
            study_name="s", storage=store.storage(create=True), load_if_exists=True
        )
        for number in range(100_000):
            study.set_user_attr("first", number)
            print(number, flush=True)
            time.sleep(0.01)
except StudyError as error:
    print(error, flush=True)
"""


@contextlib.contextmanager
def owner(folder, record):
    """Start a process that owns the study and writes to it, and wait until it does."""
    line = [sys.executable, "-c", OWNER, str(folder), record]
    environment = os.environ | {"ACTSEARCH_HEARTBEAT": "0.2"}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            while process.stdout.readline() != "20\n":
                assert process.poll() is None
            yield process
        finally:
            process.kill()


@pytest.fixture
def store(tmp_path, record):
    return Store(tmp_path, record)


def test_a_study_has_one_owner_at_a_time(tmp_path, record, store):
    with store.owned("s"):
        other = Store(tmp_path / "elsewhere", record)
        told = (
            rf"study 's' must be run by one process at a time, but process {os.getpid()} on .*"
            r"\(last heard of \d+ s ago\) runs it. Wait, or stop it."
        )
        with pytest.raises(StudyError, match=told), other.owned("s"):
            pass
        assert store.is_running("s")
        assert other.is_running("s")
        with other.owned("t"):
            pass
        assert not store.is_running("t")
    assert not other.is_running("s")
    with pytest.raises(KeyboardInterrupt), other.owned("s"):
        raise KeyboardInterrupt
    with store.owned("s"):
        pass


def test_a_killed_process_owns_nothing(tmp_path, record, store):
    with owner(tmp_path, record) as process:
        assert store.is_running("s")
        process.kill()
        process.wait()
        with store.owned("s"):
            assert store.load("s").user_attrs["first"] >= 20


def test_a_silent_owner_is_followed_and_writes_nothing_more(tmp_path, record, store):
    with owner(tmp_path, record) as process:
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(StudyError, match=f"process {process.pid} on"), store.owned("s"):
            pass
        time.sleep(1.5)  # more than six beats
        assert not store.is_running("s")
        with store.owned("s"):
            written = store.load("s").user_attrs["first"]
            os.kill(process.pid, signal.SIGCONT)
            *_, last = process.communicate(timeout=20)[0].strip().splitlines()
            assert "was taken from this one" in last
            assert f"process {os.getpid()} on" in last
            assert store.load("s").user_attrs["first"] == written
            store.load("s").set_user_attr("first", -1)
        assert store.load("s").user_attrs["first"] == -1


@pytest.mark.long
def test_a_host_that_vanished_is_followed(tmp_path, postgresql, record, store):
    with TcpProxy(postgresql.port) as proxy:
        through = record.replace(f":{postgresql.port}/", f":{proxy.port}/")
        with owner(tmp_path, through) as process:
            proxy.freeze()  # the server hears nothing of its end
            process.kill()
            process.wait()
            with pytest.raises(StudyError, match="last heard of"), store.owned("s"):
                pass
            time.sleep(1.5)
            with store.owned("s"):
                store.load("s").set_user_attr("second", 1)


def test_what_the_last_owner_tries_to_write_is_undone(tmp_path, postgresql, record, store):
    with store.owned("s"):
        study = optuna.create_study(study_name="s", storage=store.storage(create=True))
        study.set_user_attr("a", 1)
        database = record.rpartition("/")[2]
        postgresql.execute("UPDATE actsearch_owners SET token = 'another'", database)
        with pytest.raises(StudyError, match="was taken from this one"):
            study.set_user_attr("a", 2)
        with pytest.raises(StudyError, match="was taken from this one"):
            store.hold("s")
    assert study.user_attrs == {"a": 1}


def test_who_finds_a_trial_finished_by_the_next_owner_is_told_so(
    tmp_path, postgresql, record, store
):
    database = record.rpartition("/")[2]
    with store.owned("s"):
        study = optuna.create_study(study_name="s", storage=store.storage(create=True))
        trial = study.ask()
        postgresql.execute("UPDATE actsearch_owners SET token = 'another'", database)
        locks = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        assert postgresql.execute(locks) == [(True,)]
        postgresql.execute("UPDATE trials SET state = 'COMPLETE'", database)
        with pytest.raises(StudyError, match="was taken from this one"):
            trial.set_user_attr("a", 1)


def test_an_owner_whose_lock_was_ended_takes_it_again(tmp_path, postgresql, record, store):
    with store.owned("s"):
        study = optuna.create_study(study_name="s", storage=store.storage(create=True))
        locks = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        assert postgresql.execute(locks) == [(True,)]
        study.set_user_attr("a", 1)
        other = Store(tmp_path / "elsewhere", record)
        with pytest.raises(StudyError, match="runs it"), other.owned("s"):
            pass
    with other.owned("s"):
        pass


def test_a_beat_must_be_seconds(store, monkeypatch):
    for wrong in ("", "0", "nan", "soon"):
        monkeypatch.setenv("ACTSEARCH_HEARTBEAT", wrong)
        told = "ACTSEARCH_HEARTBEAT must be seconds from 0.05 to 3600, but got"
        with pytest.raises(InvalidValueError, match=told), store.owned("s"):
            pass
