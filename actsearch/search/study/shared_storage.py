"""Optuna's storage on a server: it outlasts a restart of that, and none but an owner writes."""

from __future__ import annotations

import functools
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import psycopg
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from sqlalchemy import event

from actsearch.errors import StudyError

if TYPE_CHECKING:
    from actsearch.search.study.ownership import Ownership
    from actsearch.search.study.postgresql_record import PostgresqlRecord

ATTEMPTS_TO_WRITE = 10
"""Connections in a row that may break under the same call."""

_FENCED = "actsearch.fenced"


class ConnectionLostError(Exception):
    """The connection broke under a call, which may be made again.

    No error of SQLAlchemy: Optuna would wrap it, or try again without asking what was committed.
    """


class SharedStorage(RDBStorage):
    """Optuna's storage in PostgreSQL.

    A call whose connection breaks is made again on a new one; where the answer to a commit was
    lost, what the server has tells whether it counted.

    Args:
        record: where it is.
        owned: the studies that this process owns, by name; without one, writes are not guarded.
        create: whether tables are made.
    """

    def __init__(
        self, record: PostgresqlRecord, owned: Mapping[str, Ownership], create: bool = False
    ) -> None:
        self.record, self._owned = record, owned
        self._transaction = threading.local()
        try:
            super().__init__(
                "postgresql+psycopg://",
                engine_kwargs={"creator": record.connect, "pool_pre_ping": True},
                skip_table_creation=not create,
            )
        except BaseException:
            if hasattr(self, "engine"):
                self.engine.dispose()
            raise
        # The engine must not keep what keeps it: its connections are closed with the storage.
        guard = weakref.WeakMethod(self._fence)
        event.listen(self.engine, "before_cursor_execute", lambda *told: _call(guard, told))
        event.listen(self.engine, "handle_error", _tell_lost)
        weakref.finalize(self, self.engine.dispose)

    def _fence(self, connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        """Let a transaction count only while this process owns its studies."""
        transaction = connection.get_transaction()
        if statement.startswith("SELECT") or connection.info.get(_FENCED) is transaction:
            return
        connection.info[_FENCED] = transaction
        backend = connection.connection.dbapi_connection.info.backend_pid
        for ownership in list(self._owned.values()):
            ownership.hold()
            raw = connection.connection.cursor()
            try:
                self._transaction.last = ownership, ownership.writes + 1, backend
                ownership.fence(raw)
            except psycopg.Error as error:
                if _is_lost(error):
                    connection.invalidate(error)
                    raise ConnectionLostError(str(error)) from error
                raise

    def _outlast(self, call: Callable[[], Any], outcome: Callable[[], Any]) -> Any:
        """Make a call until its connection holds, and what it writes counts once."""
        for attempt in range(ATTEMPTS_TO_WRITE):
            self._transaction.last = None
            try:
                return call()
            except ConnectionLostError as error:
                lost = error
            except UpdateFinishedTrialError:
                for ownership in list(self._owned.values()):
                    ownership.hold()  # else another process has the study, and has finished it
                raise
            time.sleep(0.05 * attempt)
            if self._transaction.last is not None:
                ownership, number, backend = self._transaction.last
                if ownership.has_committed(number, backend):
                    return outcome()
        raise StudyError(self.record.complaint(lost)) from lost

    def _last_trial(self, study_id: int, *_: Any) -> Any:
        """Return the trial that was made last, which a lost answer would have been."""
        trials = self._get_trials(study_id, None, set(), -1)
        return max(trials, key=lambda trial: trial.number)


def _outlasting(
    method: Callable[..., Any], outcome: Callable[..., Any] = lambda *_, **__: None
) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: SharedStorage, *arguments: Any, **options: Any) -> Any:
        return self._outlast(
            lambda: method(self, *arguments, **options),
            lambda: outcome(self, *arguments, **options),
        )

    return call


_OUTCOMES: dict[str, Callable[..., Any]] = {
    "create_new_study": lambda self, directions, study_name=None: self.get_study_id_from_name(
        study_name
    ),
    "_create_new_trial": SharedStorage._last_trial,
    "set_trial_state_values": lambda *_, **__: True,
}
"""Of calls that return something, what that is when it was committed and the answer was lost."""

_CALLS = (
    *("create_new_study", "delete_study", "set_study_user_attr", "set_study_system_attr"),
    *("get_study_id_from_name", "get_study_name_from_id", "get_study_directions"),
    *("get_study_user_attrs", "get_study_system_attrs", "get_all_studies"),
    *("_create_new_trial", "_set_trial_param", "set_trial_state_values"),
    *("set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr"),
    *("get_trial_id_from_study_id_trial_number", "get_trial", "_get_trials"),
    "_get_best_trial_id",
)
"""What Optuna's studies ask of a storage."""

for _name in _CALLS:
    setattr(
        SharedStorage,
        _name,
        _outlasting(getattr(RDBStorage, _name), _OUTCOMES.get(_name, lambda *_, **__: None)),
    )


def _call(method: weakref.WeakMethod[Any], arguments: tuple[Any, ...]) -> None:
    if (found := method()) is not None:
        found(*arguments)


def _tell_lost(context: Any) -> None:
    """Raise a broken connection as such, except where it is looked at before its use."""
    if not context.is_pre_ping and (context.is_disconnect or _is_lost(context.original_exception)):
        context.is_disconnect = True
        raise ConnectionLostError(str(context.original_exception)) from context.original_exception


def _is_lost(error: BaseException) -> bool:
    """Whether an error is of a connection that has gone: class 08, or the server shuts down."""
    code = getattr(error, "sqlstate", None) or ""
    broken = isinstance(error, psycopg.OperationalError) and not code
    return broken or code.startswith(("08", "57P")) or code == "25P03"
