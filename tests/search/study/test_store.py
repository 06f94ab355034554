"""The store: who waits for whom and for the disk, who owns a study, and names."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3

import optuna
import pytest
import sqlalchemy

from actsearch.errors import InvalidValueError, StudyError, UnknownNameError
from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store


def test_record_never_waits_for_readers_nor_disk(tmp_path):
    engine = Store(tmp_path).storage(create=True).engine
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(sqlalchemy.text("PRAGMA synchronous")).scalar() == 1, (
            "1 is NORMAL"
        )
    engine.dispose()


def test_a_study_has_one_owner_at_a_time(tmp_path):
    store = Store(tmp_path)
    with store.owned("s"):
        other = Store(tmp_path)
        told = rf"study 's' must be run by one process at a time, but process {os.getpid()} on"
        with pytest.raises(StudyError, match=told), other.owned("s"):
            pass
        with other.owned("t"):
            pass
    with other.owned("s"):
        pass
    assert not (store.folder("s") / "owner.json").exists()


def test_ownership_ends_with_an_error(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.owned("s"):
        raise KeyboardInterrupt
    with store.owned("s"):
        pass


@pytest.mark.parametrize("shared", [False, True])
def test_trials_are_read_again_where_they_may_have_changed(tmp_path, request, shared):
    server = request.getfixturevalue("postgresql") if shared else None
    record = server.url(server.database()) if server else ""
    store = Store(tmp_path, record)
    study = optuna.create_study(study_name="s", storage=store.storage(create=True))
    run = StudyRun("s", store, None, study, None)
    elsewhere = optuna.load_study(study_name="s", storage=Store(tmp_path, record).storage())

    def values():
        return [trial.user_attrs.get("a", trial.values) for trial in run.trials]

    assert values() == []
    elsewhere.tell(elsewhere.ask(), 0.0)
    assert values() == [[0.0]], "of a study that others may write to"
    with store.owned("s"):
        trial = study.ask()
        assert values() == [[0.0], None]
        assert run.trials is run.trials
        trial.set_user_attr("a", 1)
        assert values() == [[0.0], 1]
        study.tell(trial, 2.0)
        assert run.trials[1].values == [2.0]
    there = elsewhere.ask()
    assert values() == [[0.0], 1, None]
    elsewhere.tell(there, 3.0)
    with store.owned("s"):
        assert values() == [[0.0], 1, [3.0]], "what came before it was owned again"


def test_an_owner_reads_what_it_has_written_and_not_all_that_runs(tmp_path):
    store = Store(tmp_path)
    study = optuna.create_study(study_name="s", storage=store.storage(create=True))
    read = []
    backend = store.storage()._backend
    backend._build_frozen_trial_from_trial_model = (
        lambda model, build=(backend._build_frozen_trial_from_trial_model): (
            read.append(model.number) or build(model)
        )
    )
    with store.owned("s"):
        trials = [study.ask() for _ in range(20)]
        assert len(study.get_trials()) == 20
        trials[5].suggest_float("x", 0, 1)
        trials[3].report(0.5, 1)
        trials[4].set_user_attr("a", 1)
        study.tell(trials[6], 2.0)
        read.clear()
        found = study.get_trials()
        assert read == [3, 4, 5, 6]
    assert found == Store(tmp_path).load("s").get_trials()
    assert study.get_trials() == found


@pytest.mark.parametrize("name", ["s", "2026-01-01_a.b", "x" * 100])
def test_a_name_becomes_a_folder(tmp_path, name):
    assert Store(tmp_path).folder(name) == tmp_path / "studies" / name


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "x" * 101, "é"])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path, name):
    with pytest.raises(InvalidValueError, match="a study's name must be 1 to 100 letters"):
        Store(tmp_path).folder(name)


def test_a_store_that_is_not_there_is_not_made_by_reading(tmp_path):
    store = Store(tmp_path / "none")
    assert store.names() == []
    with pytest.raises(StudyError, match="must be a store of studies, but holds none"):
        store.storage()
    assert not store.root.exists()


def test_an_unknown_study_is_told_with_the_nearest(tmp_path):
    store = Store(tmp_path)
    optuna.create_study(study_name="digits", storage=store.storage(create=True))
    assert store.names() == ["digits"]
    assert store.load("digits").study_name == "digits"
    with pytest.raises(UnknownNameError, match="digits"):
        store.load("digit")


@pytest.fixture
def record(tmp_path):
    """A record with a study of some trials, that nobody has open."""
    store = Store(tmp_path)
    storage = store.storage(create=True)
    study = optuna.create_study(study_name="s", storage=storage)
    for number in range(30):
        study.add_trial(optuna.trial.create_trial(value=number, user_attrs={"a": "x" * 500}))
    storage.engine.dispose()
    return store.record.path


@pytest.mark.parametrize("damage", ["random", "cut", "zeros"])
def test_a_damaged_record_is_told_with_its_path_and_the_way_on(record, damage):
    content = record.read_bytes()
    half = len(content) // 2
    changed = {
        "random": random.Random(0).randbytes(len(content)),
        "cut": content[:half],
        "zeros": content[:4096] + bytes(len(content) - 4096),
    }
    record.write_bytes(changed[damage])
    store = Store(record.parent)
    told = rf"the record {record} must be a database .* Put back a copy of it, or move it away"
    with pytest.raises(StudyError, match=told):
        _ = StudyRun("s", store, None, store.load("s"), None).trials


def test_options_that_are_no_json_are_told_as_a_damaged_record(record):
    study = Store(record.parent).load("s")
    study.set_user_attr("actsearch.plan", "{")
    with pytest.raises(StudyError, match=f"study 's' in {record} must have options that"):
        StudyRun.load(Store(record.parent), "s")


def test_where_nothing_can_be_written_studies_can_be_read(record, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    before = {file.name: file.stat().st_mtime_ns for file in record.parent.iterdir()}
    store = Store(record.parent)
    assert store.names() == ["s"]
    study = store.load("s")
    assert [trial.value for trial in study.trials] == list(range(30))
    assert {file.name: file.stat().st_mtime_ns for file in record.parent.iterdir()} == before
    told = "must be a folder that can be written, but is read-only"
    with pytest.raises(StudyError, match=told), store.owned("s"):
        pass
    with pytest.raises(StudyError, match="readonly database"), store.guarded():
        study.set_user_attr("a", 1)


def test_what_a_writer_had_no_room_to_bring_over_is_read(tmp_path, record, monkeypatch):
    writer = Store(record.parent)
    writer.load("s").add_trial(optuna.trial.create_trial(value=30))
    for part in ("", "-wal"):  # as a full disk leaves them: nobody could close the record
        shutil.copy(f"{record}{part}", tmp_path / f"optuna.db{part}.left")
    writer.storage().engine.dispose()
    for part in ("", "-wal"):
        (tmp_path / f"optuna.db{part}.left").replace(f"{record}{part}")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    store = Store(record.parent)
    study = store.load("s")
    assert [trial.value for trial in study.trials] == list(range(31))
    with pytest.raises(StudyError, match="readonly database"), store.guarded():
        study.set_user_attr("a", 1)


def test_what_a_killed_process_was_writing_is_cleared(tmp_path):
    store = Store(tmp_path)
    folder = store.folder("s") / "trials" / "00003"
    folder.mkdir(parents=True)
    for name in (".weights.k3_x9abq", ".best.json.0123456789ab", ".notes", "weights.safetensors"):
        (folder / name).touch()
    with store.owned("s"):
        assert {file.name for file in folder.iterdir()} == {".notes", "weights.safetensors"}


def test_a_full_disk_is_told_with_the_way_on(tmp_path):
    store = Store(tmp_path)
    told = r"No space left on device \(best.json\)\. Make room"
    with pytest.raises(StudyError, match=told), store.guarded():
        raise OSError(errno.ENOSPC, "No space left on device", "best.json")
    full = sqlite3.OperationalError("database or disk is full")
    with pytest.raises(StudyError, match=r"is full\. Make room"), store.guarded():
        raise sqlalchemy.exc.OperationalError("", {}, full)
    with pytest.raises(FileNotFoundError), store.guarded():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "mine.csv")
