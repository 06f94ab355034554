"""Optuna's cache of a record, for the one process that writes to a study."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import FrozenTrial
from sqlalchemy import Engine
from typing_extensions import override

_NO_OTHER = 2**31 - 1
"""The largest number of a trial that databases keep, beyond which there is none."""


class OwnersCache(_CachedStorage):
    """Reads again what this process has written, and no more, while it owns the study.

    Optuna's own cache reads every trial that runs, at every look, since others may have written to
    it: with 500 of them that is a second for a proposal, which looks five times.

    Args:
        backend: Optuna's storage.
        owned: the studies that this process owns, by name, each with what tells this time from
            another.
    """

    def __init__(self, backend: RDBStorage, owned: Mapping[str, object]) -> None:
        super().__init__(backend)
        self._owned = owned
        self._complete: dict[int, object] = {}
        self._written: defaultdict[int, set[int]] = defaultdict(set)

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's, of the record."""
        return self._backend.engine

    @override
    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        owned = self._owned.get(self.get_study_name_from_id(study_id))
        if owned is None or self._complete.get(study_id) is not owned:
            super()._read_trials_from_remote_storage(study_id)
            if owned is not None:
                self._complete[study_id] = owned
            return
        with self._lock:
            written = self._written[study_id]
            if not written:
                return
            trials = self._backend._get_trials(study_id, None, written, _NO_OTHER)
            self._add_trials_to_cache(study_id, trials)
            written.clear()
            study = self._studies[study_id]
            for trial in trials:
                if trial.state.is_finished():
                    study.unfinished_trial_ids.discard(trial._trial_id)
                    study.last_finished_trial_id = max(
                        study.last_finished_trial_id, trial._trial_id
                    )
                else:
                    study.unfinished_trial_ids.add(trial._trial_id)

    @override
    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        self._note(trial_id)
        return trial_id

    def _note(self, trial_id: int) -> None:
        """Remember, after a write, to read a trial again."""
        with self._lock:
            if (known := self._trial_id_to_study_id_and_number.get(trial_id)) is not None:
                self._written[known[0]].add(trial_id)


def _noting(name: str) -> Callable[..., Any]:
    write = getattr(_CachedStorage, name)

    def call(self: OwnersCache, trial_id: int, *arguments: Any, **options: Any) -> Any:
        try:
            return write(self, trial_id, *arguments, **options)
        finally:
            self._note(trial_id)

    return call


for _name in (
    *("set_trial_param", "set_trial_state_values", "set_trial_intermediate_value"),
    *("set_trial_user_attr", "set_trial_system_attr"),
):
    setattr(OwnersCache, _name, _noting(_name))
