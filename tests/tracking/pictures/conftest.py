"""Studies that were never trained: trials as a search records them, and pictures before they are
written."""

from __future__ import annotations

import sys

import pytest
from matplotlib.text import Text
from optuna.trial import TrialState, create_trial

from actsearch.placement import FoundSite
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.config import StudyConfig
from actsearch.search.study.record import open_study
from actsearch.search.study.store import Store
from actsearch.search.training.job import ModelInfo

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@pytest.fixture
def study(tmp_path):
    """Open a study, and record trials: what stands at each site, the value and the state."""

    def made(trials, sites=2, objectives=("val_loss:min",), **outcome):
        names = [f"net.layer_{n}.act" for n in range(sites)]
        space = SearchSpace(activations={"relu": None, "tanh": None}, granularity="layer")
        config = StudyConfig.of(
            {
                "task": "own.Own",
                "objectives": list(objectives),
                "learning_rate": "fixed",
                "space_content": space.model_dump(mode="json"),
            }
        )
        relu = {"activation": "relu", "parameters": {}}
        found = [FoundSite(name, "module", "relu", relu) for name in names]
        run = open_study(Store(tmp_path), "s", config, ModelInfo(found, "fx"))
        for stands, value, state in trials:
            data = None
            if stands is not None:
                entries = [{"activation": one} if isinstance(one, str) else one for one in stands]
                data = {"schema": 1, "sites": dict(zip(names, entries, strict=True))}
            values = value if isinstance(value, list) else [value]
            run.study.add_trial(
                create_trial(
                    state=STATES[state],
                    values=values if state == "complete" else None,
                    intermediate_values={0: values[0]} if state == "pruned" else None,
                    user_attrs={"placement": data, "stage": "search", "outcome": dict(outcome)},
                )
            )
        return run

    return made


@pytest.fixture
def drawn(monkeypatch):
    """Draw a picture, and return its figure and the texts in it."""

    def draw(function, *arguments):
        figures = []
        module = sys.modules[function.__module__]
        monkeypatch.setattr(module, "write", lambda figure, path: figures.append(figure))
        function(*arguments)
        if not figures:
            return None, []
        (figure,) = figures
        return figure, [text.get_text() for text in figure.findobj(Text) if text.get_text()]

    return draw
