"""The record: who waits for whom, and for the disk."""

from __future__ import annotations

import sqlalchemy

from actsearch.search.study.store import Store


def test_record_never_waits_for_readers_nor_disk(tmp_path):
    engine = Store(tmp_path).storage(create=True).engine
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(sqlalchemy.text("PRAGMA synchronous")).scalar() == 1, (
            "1 is NORMAL"
        )
    engine.dispose()
