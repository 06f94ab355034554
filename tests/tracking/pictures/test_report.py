"""One file to forward, and pictures that say what they show."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.confirm.racing import compare
from actsearch.search.study.placement_file import write_unconfirmed
from actsearch.tracking.pictures.confirmation import confirmation
from actsearch.tracking.pictures.history import history
from actsearch.tracking.pictures.pareto import pareto
from actsearch.tracking.provenance import StudyCall, calls_of, record_call, record_end
from actsearch.tracking.report import summary, table, write_report

TRIALS = [
    (None, 1.0, "complete"),
    (["tanh", "relu"], 0.5, "complete"),
    (["tanh", "tanh"], 0.7, "complete"),
]


class Ids(HTMLParser):
    """Notes ids, and what a page would fetch or run."""

    def __init__(self):
        super().__init__()
        self.ids, self.fetched, self.tags = [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        given = dict(attributes)
        self.ids += [given["id"]] if "id" in given else []
        for key in ("src", "href", "xlink:href"):
            if key in given and not given[key].startswith("#"):
                self.fetched.append(given[key])


def raced(differences, looks=1):
    """Return a confirmation of trial 1, with trial 2 dropped."""
    seeds = list(range(10, 10 + len(differences)))
    scores = {f"0:{seed}": 0.0 for seed in seeds}
    scores |= {f"1:{seed}": d for seed, d in zip(seeds, differences, strict=True)}
    level = 0.05 / 2 ** (looks - 1)
    return Confirmation(
        "test_accuracy",
        "max",
        "test",
        seeds,
        [1, 2],
        scores,
        comparisons=[compare(differences, level), compare([])],
        selection=[1, 2],
        given=[len(seeds) + 2, 2],
        looks=looks,
    )


def test_a_report_stands_alone(study, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/actsearch", "search", "own.Own", "--task.note=<b>|"])
    run = study([*TRIALS, (["tanh", "elu"], 0.0, "failed")], reason="error: <script>alert(1)")
    record_end(run, record_call(run))
    write_unconfirmed(run)
    folder = write_report(run)
    drawn = {"history", "sites", "curves"}
    assert {file.stem for file in folder.glob("*.png")} == drawn
    assert all((folder / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in drawn)
    text = (folder / "report.html").read_text()
    page = Ids()
    page.feed(text)
    assert page.fetched == []
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    referred = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', text))
    assert referred
    assert referred <= set(page.ids), "each picture has its own"
    assert text.count("<svg") == 3
    assert "prefers-color-scheme: dark" in text
    assert "&lt;script&gt;alert(1)" in text
    assert "actsearch search own.Own &#x27;--task.note=&lt;b&gt;|&#x27;" in text
    assert "torch" in text
    assert "actsearch confirm s" in text, "what to do"


def test_a_picture_that_is_not_drawn_again_is_gone(study):
    run = study(TRIALS)
    folder = run.folder / "report"
    folder.mkdir(parents=True)
    for name in ("importance.png", "importance.svg", "mine.png"):
        (folder / name).touch()
    write_report(run)
    assert not (folder / "importance.png").exists()
    assert (folder / "mine.png").exists()


def test_calls_are_kept_in_order_and_without_secrets(study, monkeypatch):
    run = study([])
    assert calls_of(run) == []
    monkeypatch.setattr("sys.argv", ["/bin/actsearch", "search", "x", "--task.api_key", "K", "--a"])
    first = record_call(run)
    assert first.command == "actsearch search x --task.api_key *** --a"
    assert [call.seconds for call in calls_of(run)] == [None], "it has not come to its end"
    record_end(run, first)
    monkeypatch.setattr("sys.argv", ["train.py", "postgresql://me:pw@host/db"])
    record_call(run)
    first, second = calls_of(run)
    assert first.seconds is not None
    assert second.command == "python train.py 'postgresql://me:***@host/db'"
    assert isinstance(second, StudyCall)
    assert {"python", "torch", "actsearch"} <= set(second.versions)


def test_each_seed_of_a_discrete_score_is_seen(drawn, tmp_path):
    result = raced([0.1, 0.1, 0.1, 0.0, 0.0, 0.2, 0.1, -0.1])
    figure, texts = drawn(confirmation, result, tmp_path / "c.png", "digits")
    dots = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert len(set(zip(*dots.get_data(), strict=True))) == 8
    assert "digits: test_accuracy: no difference found" in texts
    assert "trial 1\nover the baseline" in texts
    assert not any(text.startswith("trial 2") for text in texts), "no empty row"
    assert any("not selected: trial 2 after 2 seeds" in text for text in texts)


@pytest.mark.parametrize(("looks", "level"), [(1, "95 %"), (2, "97.5 %")])
def test_the_interval_is_named_as_what_it_is(drawn, tmp_path, looks, level):
    result = raced([0.3, 0.1, 0.2, 0.25], looks)
    _, texts = drawn(confirmation, result, tmp_path / "c.png", "s")
    below = f"{level} interval of the mean, by the t distribution, over 4 paired seeds"
    assert any(below in text for text in texts)


def test_equal_differences_have_no_interval(drawn, tmp_path):
    _, texts = drawn(confirmation, raced([0.0] * 3), tmp_path / "c.png", "s")
    assert "+0, without an interval, p = 1" in texts


def test_a_legend_lists_what_occurs(study, drawn, tmp_path):
    _, texts = drawn(history, study(TRIALS), tmp_path / "history.png")
    assert {"completed", "best so far", "baseline"} <= set(texts)
    assert not {"failed", "stopped early"} & set(texts)


def test_every_kind_of_trial_is_in_the_history(study, drawn, tmp_path):
    made = [*TRIALS, (["elu", "elu"], 2.0, "pruned"), (["elu", "relu"], 0.0, "failed")]
    _, texts = drawn(history, study(made), tmp_path / "history.png")
    assert {"completed", "stopped early", "failed"} <= set(texts)


def test_one_that_is_far_worse_does_not_hide_the_others(study, drawn, tmp_path):
    made = [*TRIALS, *[(["elu", "elu"], 0.6, "complete")] * 4, (["relu", "elu"], 1e9, "complete")]
    figure, texts = drawn(history, study(made), tmp_path / "history.png")
    assert figure.axes[0].get_ylim()[1] < 2
    assert "1 that are far worse are not shown" in texts


def test_the_front_is_named_below(study, drawn, tmp_path):
    made = [
        (None, [1.0, 5.0], "complete"),
        (["tanh", "relu"], [0.5, 7.0], "complete"),
        (["elu", "relu"], [0.6, 9.0], "complete"),
    ]
    run = study(made, objectives=("val_loss:min", "cost:min"))
    _, texts = drawn(pareto, run, tmp_path / "pareto.png")
    (below,) = [text for text in texts if text.startswith("2: ")]
    assert below == "2: layer_0: tanh, layer_1: relu\n1: the model's own"


def test_markdown_cells_hold_anything():
    assert table(["a"], [["x|y\nz"]]).splitlines()[-1] == "| x\\|y z |"


def test_a_summary_has_no_empty_parts(study):
    assert "What stands where" not in summary(study(TRIALS)), "its pictures are in the page"
