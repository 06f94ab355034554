"""A study goes on with the code, data and versions that it was begun with, or by an option."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actsearch.errors import StudyError
from actsearch.run import confirm, run_search
from actsearch.search.study.changes import accepted_changes
from actsearch.search.study.record import MODEL_INFO, StudyRun
from actsearch.search.study.store import Store
from actsearch.tracking.report import summary


def test_a_change_is_told_before_anything_is_trained_and_accepted_by_an_option(own):
    given = {
        "store": own / "store",
        "study": "s",
        "config": {"trainer.max_epochs": 1},
        "learning_rate": "fixed",
        "executor": "inline",
        "confirm": 0,
    }
    run_search("own.Own", "rectifiers", trials=2, **given)
    module = own / "own.py"
    text = module.read_text()
    module.write_text(text.replace("mse_loss", "l1_loss"))
    with pytest.raises(StudyError, match=r"code of own changed.*--accept-changes"):
        run_search("own.Own", "rectifiers", trials=3, **given)
    with pytest.raises(StudyError, match="code of own changed"):
        confirm("s", store=own / "store", executor="inline", seeds=2)
    run = StudyRun.load(Store(own / "store"), "s")
    assert len(run.trials) == 2

    run_search("own.Own", "rectifiers", trials=3, accept_changes=True, **given)
    assert accepted_changes(run) == ["from trial 2 on: code of own changed"]
    assert "Accepted from trial 2 on: code of own changed." in summary(run)
    run_search("own.Own", "rectifiers", trials=3, **given)  # is what it goes on with now
    module.write_text(text.replace("mse_loss", "l1_loss") + "# a comment\n")
    run_search("own.Own", "rectifiers", trials=3, **given)

    fewer = replace(run.model_info, sites=run.model_info.sites[:1])
    run.study.set_user_attr(MODEL_INFO, fewer.dumps())
    with pytest.raises(StudyError, match=r"with the sites .* differs in net.3"):
        run_search("own.Own", "rectifiers", trials=3, accept_changes=True, **given)
