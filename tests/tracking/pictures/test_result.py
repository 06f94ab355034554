"""What a notebook or a prompt shows of a search is short, escaped, and has what one asks for."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest

from actsearch.result import search_result
from actsearch.run import run_search
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.placement_file import write_unconfirmed
from actsearch.tracking.notebook import shown_in_notebook, silent

TRIALS = [
    (None, 1.0, "complete"),
    (["tanh", {"activation": "clipped_relu", "parameters": {"ceiling": 6.0}}], 0.5, "complete"),
    (["elu", "relu"], 2.0, "pruned"),
]


@pytest.fixture
def result(study):
    run = study(TRIALS)
    write_unconfirmed(run)
    return search_result(run, None)


@pytest.fixture
def notebook(monkeypatch):
    """Be in a notebook, and note what is shown there."""
    shown = []

    def display(thing, display_id=False):
        shown.append(thing)
        return SimpleNamespace(update=shown.append)

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    return shown


def test_a_result_is_a_few_lines(result):
    first, *rest = repr(result).splitlines()
    assert first == "SearchResult(study='s', verdict='not confirmed')"
    assert rest[0] == "  best: layer_0: tanh, layer_1: clipped_relu(ceiling=6)"
    assert rest[1] == "  baseline: val_loss 1"
    assert len(rest) <= 6
    assert str(result) == repr(result)


def test_a_result_in_html_is_escaped(study):
    run = study([(None, 1.0, "complete"), (["mul(x,<b>)", "relu"], 0.5, "complete")])
    html = search_result(run, None)._repr_html_()
    assert html.startswith("<table>")
    assert "<b>" not in html


def test_a_row_a_trial(result):
    table = result.to_pandas()
    assert list(table.index) == [0, 1, 2, 3]
    assert list(table["state"]) == ["waiting", "complete", "complete", "pruned"]
    assert list(table["val_loss"].iloc[1:3]) == [1.0, 0.5]
    assert list(table["net.layer_1.act"].iloc[2:]) == ["clipped_relu", "relu"]


def test_pictures_are_named_or_shown(result, capsys, notebook, monkeypatch):
    report = result.folder / "report"
    report.mkdir()
    (report / "sites.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    result.show()
    assert [type(one).__name__ for one in notebook] == ["Image"]
    monkeypatch.undo()
    result.show()
    assert capsys.readouterr().out == f"{report / 'sites.png'}\n"


def test_a_confirmation_is_its_verdict(study):
    begun = Confirmation("test_loss", "min", "test", [], [1], {"1:5": 0.5})
    assert repr(begun) == "Confirmation of test_loss on the test split: 1 trainings, not ended"
    assert begun._repr_html_().startswith("<p>Confirmation")


def test_a_search_in_a_notebook_shows_bars(study, notebook):
    run = study(TRIALS)
    with shown_in_notebook((), silent) as watched:
        (bars,) = watched.listeners
        bars.started(run, 30)
        bars.trial_started(3, None)
        watched.progress(3, 8)
    assert len(notebook) >= 2, "it is drawn as it begins and as it ends"
    html = notebook[-1].data
    assert html.startswith("<pre>")
    assert "trials" in html
    assert "confirming" in html


def test_bars_are_shown_nowhere_else(notebook, monkeypatch):
    listener = object()
    with shown_in_notebook([listener], silent) as watched:
        assert watched.listeners == [listener], "somebody else is told"
    monkeypatch.undo()
    with shown_in_notebook((), silent) as watched:
        assert watched.listeners == (), "not in a notebook"
    assert notebook == []


def test_options_are_in_the_signature_with_their_kinds():
    shown = inspect.signature(run_search).parameters
    assert shown["trials"].annotation is int
    assert shown["sampler"].default == "function_space"
    assert all(one.annotation is not inspect.Parameter.empty for one in shown.values())
