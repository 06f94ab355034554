"""The record in PostgreSQL: the same as in SQLite, over breaks of its connections as well."""

from __future__ import annotations

import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import optuna
import psycopg
import pytest

from actsearch.cli.doctor import _record
from actsearch.errors import ActsearchError, StudyError, UnknownNameError
from actsearch.search.study import postgresql_record
from actsearch.search.study.record_url import shown_url
from actsearch.search.study.store import Store
from actsearch.search.study.upkeep import delete_study, rename_study

from ...postgresql import PASSWORD, QUOTED


def write_trials(store, trials=3):
    """Make a study by every call of Optuna that a search makes."""
    with store.owned("s"):
        study = optuna.create_study(study_name="s", storage=store.storage(create=True))
        study.sampler = optuna.samplers.RandomSampler(seed=0)
        study.set_user_attr("a", {"b": [1.5, None]})
        study.enqueue_trial({"x": 0.25})
        for _ in range(trials):
            trial = study.ask()
            value = trial.suggest_float("x", 0, 1) + trial.suggest_int("y", 1, 9)
            trial.suggest_categorical("z", [None, True, 2, 0.1, "é"])
            trial.report(float("inf"), 0)
            trial.report(value, 1)
            trial.set_user_attr("placement", {"site": "relu"})
            trial.set_constraint("c", value)
            study.tell(trial, value)
        study.ask()
        study.tell(trials, state=optuna.trial.TrialState.FAIL)
    return study


def seen(store):
    study = store.load("s")
    trials = [
        (t.number, t.state, t.params, t.distributions, t.values, t.user_attrs, t.system_attrs)
        for t in study.trials
    ]
    return study.user_attrs, trials, [t.intermediate_values for t in study.trials]


def test_it_holds_what_sqlite_holds(tmp_path, record):
    here, there = Store(tmp_path / "a"), Store(tmp_path / "b", record)
    for store in (here, there):
        write_trials(store)
    assert seen(there) == seen(here)
    assert there.names() == ["s"]
    assert not there.record.exists() or not (tmp_path / "b" / "optuna.db").exists()
    with pytest.raises(UnknownNameError, match="nearest: s"):
        there.load("ss")


def test_studies_are_renamed_and_deleted(tmp_path, record):
    store = Store(tmp_path, record)
    write_trials(store)
    rename_study(store, "s", "t")
    assert store.names() == ["t"]
    assert len(store.load("t").trials) == 4
    with pytest.raises(StudyError, match="the new name must be free"):
        rename_study(store, "t", "t")
    delete_study(store, "t")
    assert store.names() == []
    assert not store.folder("t").exists()


def test_those_that_begin_at_once_make_the_tables_once(tmp_path, postgresql):
    postgresql.execute("CREATE DATABASE empty OWNER keeper")
    url = postgresql.url("empty")
    assert Store(tmp_path, url).names() == []
    with pytest.raises(StudyError, match="must be a store of studies, but holds none"):
        Store(tmp_path, url).storage()

    def begin(number):
        store = Store(tmp_path / str(number), url)
        with store.owned(f"s{number}"):
            optuna.create_study(study_name=f"s{number}", storage=store.storage(create=True))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, range(4)))
    assert Store(tmp_path, url).names() == [f"s{number}" for number in range(4)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((QUOTED, "wr0ng"), r"password authentication failed .* PGPASSWORD or ~/\.pgpass"),
        ((f":{QUOTED}", ""), r"no password supplied.* PGPASSWORD or ~/\.pgpass"),
        (("keeper", "nobody"), r'failed for user "nobody"'),
        (("/studies", "/none"), r'database "none\d*" does not exist. Make it: createdb'),
        (("127.0.0.1", "127.0.0.2"), r"Connection refused .* Is its server up\?"),
        (("?", "?spelling=wrong"), r'invalid connection option "spelling". Check the URL'),
    ],
)
def test_what_cannot_be_reached_is_told_at_once_and_without_the_password(
    change, told, tmp_path, record
):
    begin = time.monotonic()
    with pytest.raises(ActsearchError, match=told) as error:
        Store(tmp_path, (record + "?").replace(*change).rstrip("?")).names()
    assert time.monotonic() - begin < 5
    for secret in (PASSWORD, QUOTED, "wr0ng"):
        assert secret not in str(error.value)
    assert "\n" not in str(error.value)


def test_without_the_driver_it_is_told_how_to_have_it(tmp_path, record, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StudyError, match=r"pip install 'actsearch\[postgresql\]'"):
        Store(tmp_path, record).names()


def test_who_may_read_alone_reads_and_is_told_that_it_may_not_write(tmp_path, postgresql, record):
    write_trials(Store(tmp_path, record))
    database = record.rpartition("/")[2]
    postgresql.execute("DROP ROLE IF EXISTS reader")
    postgresql.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    postgresql.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", database)
    store = Store(tmp_path / "other", record.replace("keeper", "reader"))
    assert len(store.load("s").trials) == 4
    assert not store.is_running("s")
    told = r"permission denied .* Let its owner grant the right"
    with pytest.raises(StudyError, match=told), store.owned("s"):
        pass
    postgresql.execute("DROP OWNED BY reader", database)


@pytest.fixture
def broken(postgresql, monkeypatch):
    """Break connections at commits, each before or after it counted; return how many broke."""
    commits = []

    def break_at(storage, which):
        dialect = storage.engine.dialect
        commit = dialect.do_commit

        def do_commit(connection):
            commits.append(connection)
            if len(commits) % 2 == 0:
                return commit(connection)
            if which == "after":
                commit(connection)
            end = f"SELECT pg_terminate_backend({connection.driver_connection.info.backend_pid})"
            postgresql.execute(end)
            if which == "after":  # the answer to the commit is lost
                return connection.driver_connection.execute("SELECT 1")
            return commit(connection)

        monkeypatch.setattr(dialect, "do_commit", do_commit)
        return commits

    return break_at


@pytest.mark.parametrize("which", ["before", "after"])
def test_a_write_counts_once_where_its_connection_breaks(which, tmp_path, record, broken):
    straight = Store(tmp_path / "straight")
    write_trials(straight, 1)
    store = Store(tmp_path / "broken", record)
    commits = broken(store.storage(create=True), which)
    write_trials(store, 1)
    assert seen(store) == seen(straight)
    assert len(commits) >= 30


def test_a_server_that_restarts_is_waited_for(tmp_path, postgresql, record):
    store = Store(tmp_path, record)
    done = threading.Event()

    def restart():
        for mode in ("fast", "immediate"):
            time.sleep(0.3)
            postgresql.stop(mode)
            time.sleep(0.3)
            postgresql.start()
        done.set()

    with store.owned("s"):
        study = optuna.create_study(study_name="s", storage=store.storage(create=True))
        worker = threading.Thread(target=restart)
        worker.start()
        told = 0
        while not done.is_set():
            study.tell(study.ask(), float(told))
            told += 1
        worker.join()
        trials = study.trials
    assert [t.values for t in trials] == [[float(number)] for number in range(told)]
    assert [t.number for t in trials] == list(range(told))


def test_a_server_that_stays_away_is_told(tmp_path, postgresql, record, monkeypatch):
    monkeypatch.setattr(postgresql_record, "SERVER_PATIENCE", 0.5)
    store = Store(tmp_path, record)
    try:
        with store.owned("s"):
            study = optuna.create_study(study_name="s", storage=store.storage(create=True))
            trial = study.ask()
            postgresql.stop()
            with pytest.raises(StudyError, match="same call goes on where the study stands"):
                study.tell(trial, 1.0)
            begin = time.monotonic()
            with pytest.raises(StudyError, match="Is its server up"):
                study.set_user_attr("a", 1)
            assert time.monotonic() - begin < 0.4, "it is waited for once"
    finally:
        postgresql.start()
    assert [t.state.name for t in Store(tmp_path, record).load("s").trials] == ["RUNNING"]


def test_a_full_server_and_another_optuna_are_told(tmp_path, postgresql, record):
    store = Store(tmp_path, record)
    write_trials(store)
    told = rf"the record {shown_url(record).replace('+', '.')} must be .*: out of room. Make room"
    with pytest.raises(StudyError, match=told), store.guarded():
        raise optuna.exceptions.StorageInternalError from psycopg.errors.DiskFull("out of room")
    database = record.rpartition("/")[2]
    postgresql.execute("UPDATE alembic_version SET version_num = 'v9.9.9'", database)
    with pytest.raises(StudyError, match=r"must have tables that fit, but: .* optuna"):
        Store(tmp_path, record).load("s")


def test_doctor_tells_what_answers(tmp_path, postgresql, record):
    write_trials(Store(tmp_path, record), 1)
    (found,) = _record(record)
    told = r"PostgreSQL \d.*, tables of Optuna 5\S+ \(v\S+\), studies: 1"
    assert re.fullmatch(f"{re.escape(shown_url(record))}: {told}", found.found)
    assert not found.way_out
    assert list(_record("")) == []
    (wrong,) = _record(record.replace(QUOTED, "wr0ng"))
    assert "PGPASSWORD" in wrong.way_out
    postgresql.execute("CREATE DATABASE bare OWNER keeper")
    (bare,) = _record(postgresql.url("bare"))
    assert "no tables yet" in bare.found
