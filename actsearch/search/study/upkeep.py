"""What is done to a study as a whole: it is removed, or gets another name."""

from __future__ import annotations

import json
import shutil

import optuna
from sqlalchemy import text

from actsearch.errors import StudyError
from actsearch.search.study.sqlite_record import LOCK, STAMP
from actsearch.search.study.store import READING_BYTES, Store, check_name
from actsearch.search.study.trials import ATTRIBUTE


def delete_study(store: Store, name: str) -> None:
    """Remove a study: its files, then its record, so that a killed call can be repeated.

    Raises:
        UnknownNameError: there is none of that name.
        StudyError: a process runs it, or nothing can be written.
    """
    store.load(name)
    folder = store.folder(name)
    with store.owned(name, READING_BYTES), store.guarded():
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in (STAMP, LOCK):
                path.unlink()
        optuna.delete_study(study_name=name, storage=store.storage())
        shutil.rmtree(folder)


def rename_study(store: Store, old: str, new: str) -> None:
    """Give a study another name, in the record and of its folder: both or none.

    Studies that learn from it name it so too.

    Raises:
        InvalidValueError: a name that no study can have.
        UnknownNameError: there is none of that name.
        StudyError: there is one of the new name, a process runs it, or nothing can be written.
    """
    check_name(new)
    store.load(old)
    if new in store.names() or store.folder(new).exists():
        raise StudyError(
            f"the new name must be free, but {store} has a study or a folder {new!r}. Choose"
            " another."
        )
    change = text("UPDATE studies SET study_name = :new WHERE study_name = :old")
    with store.owned(old, READING_BYTES), store.guarded():
        with store.storage().engine.begin() as record:
            record.execute(change, {"old": old, "new": new})
            store.folder(old).rename(store.folder(new))
        (store.folder(new) / STAMP).unlink(missing_ok=True)
        for name in store.names():
            study = store.load(name)
            options = json.loads(study.user_attrs.get(ATTRIBUTE, "{}"))
            if old in (earlier := options.get("learn_from", [])):
                options["learn_from"] = [new if one == old else one for one in earlier]
                study.set_user_attr(ATTRIBUTE, json.dumps(options))
