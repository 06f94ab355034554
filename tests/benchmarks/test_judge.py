"""The judge's arithmetic and what it trains, small enough to check by hand."""

import math
import subprocess
import sys

import judge
import pytest
import torch
from cpu_time import cpu_seconds
from judge import HELD_OUT, OURS, OWN, RIVAL, TASKS, Entry
from judge_contestants import at_rate, ending
from judge_tasks import Cancer, Table
from judge_training import _configure_optimisers
from scipy import stats

from actsearch import Placement, SearchResult
from actsearch.errors import InvalidValueError
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.confirm.racing import compare

BURN = "import time\nwhile time.process_time() < 0.4: pass\n"
LEAVE = """
import os, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-S", "-c", sys.argv[1]], stdout=subprocess.PIPE, start_new_session=True
)
if sys.argv[2] == "kill":
    child.stdout.readline()
    child.kill()
os._exit(0)
"""
"""A command that ends without waiting for what it has started, in another session."""

GELU = Placement.uniform("gelu", ["net.1", "net.3"]).model_copy(
    update={"learning_rate_factor": 3.0}
)


@pytest.mark.parametrize(
    ("child", "end"),
    [(BURN + "print(flush=True)\ntime.sleep(60)", "kill"), (BURN, "leave")],
    ids=["killed", "orphaned"],
)
def test_what_is_killed_or_left_behind_counts(child, end):
    assert cpu_seconds([sys.executable, "-S", "-c", LEAVE, child, end]) >= 0.4


def test_a_command_that_fails_is_no_figure():
    with pytest.raises(subprocess.CalledProcessError):
        cpu_seconds([sys.executable, "-S", "-c", "raise SystemExit(3)"])


def test_a_gain_is_that_of_paired_seeds():
    own = Entry(at_rate(1.0), 0.0, [0.5, 0.7, 0.9, math.nan])
    better = Entry(GELU, 10.0, [0.4, 0.5, 0.8, 0.1])
    found = better.over(own)
    assert found.pairs == 3
    assert found.gain == pytest.approx((0.1 + 0.2 + 0.1) / 3)
    assert found.p == pytest.approx(stats.ttest_rel([0.5, 0.7, 0.9], [0.4, 0.5, 0.8]).pvalue)
    assert own.over(own) is None
    more = Entry(GELU, 10.0, [0.4, 0.5], sign=1).over(Entry(at_rate(1.0), 0.0, [0.1, 0.1], sign=1))
    assert more.gain == pytest.approx(0.35)


def judged(gain):
    """One task, whose search claims a gain of 0.2 within 0.1 and 0.3, and the others nothing."""
    own = [0.5, 0.7, 0.9, 0.6]
    scores = [score - gain + shift for score, shift in zip(own, (0.01, -0.01, 0, 0), strict=True)]
    claim = {"verdict": "better", "gain": 0.2, "low": 0.1, "high": 0.3}
    entries = {OWN: Entry(at_rate(1.0), 0.0, own)}
    entries |= {name: Entry(at_rate(3.0), 10.0, own) for name in ("tuned", RIVAL, "tpe", "random")}
    return {"sets": entries | {OURS: Entry(GELU, 40.0, scores, claim)}}


@pytest.mark.parametrize(
    ("gain", "true", "inside", "tally"),
    [
        (0.25, "yes", "yes", "1 / 0 / 0"),
        (0.4, "yes", "no", "1 / 0 / 0"),
        (-0.25, "no", "no", "0 / 0 / 1"),
    ],
)
def test_the_tables_say_what_was_measured(gain, true, inside, tally):
    rows = judge.contest_table(judged(gain))
    assert [row.split(" | ")[1] for row in rows[2:]] == list(judge.CONTESTANTS)
    ours = rows[-1].strip("| ").split(" | ")
    assert ours[:3] == ["sets (held out)", OURS, "`gelu`, 3 times the rate"]
    assert ours[4].startswith(f"{gain:+.3g} [")
    assert ours[5:] == [ours[4], "40", "4.00"]
    assert rows[3].strip("| ").split(" | ")[4] == "the same"
    assert judge.claim_table(judged(gain))[-1].strip("| ").split(" | ")[-2:] == [true, inside]
    assert judge.tally_table(judged(gain))[-1] == f"| {OURS} | {tally} | {tally} | 4.00 |"


def test_a_pick_trains_once_and_goes_on(tmp_path, monkeypatch):
    trained = []

    def tested(task, placement, seed, split):
        trained.append((placement.learning_rate_factor, seed, split))
        return math.inf if len(trained) == 2 else 0.5

    monkeypatch.setattr(judge, "tested", tested)
    task, file = TASKS["table"], tmp_path / "scores.json"
    found = judge.retest(task, GELU, 2, file)
    assert found[0] == 0.5
    assert math.isnan(found[1])
    again = GELU.model_copy(update={"found": {"study": "another"}})
    assert len(judge.retest(task, again, 3, file)) == 3
    assert trained == [(3.0, 10_000 + index, 2**31 + index) for index in range(3)]
    judge.retest(task, at_rate(3.0), 1, file)
    assert len(trained) == 4


def test_the_optimiser_is_the_one_of_the_readme():
    module = Cancer()
    learned = {"activation": "prelu", "learn": ["negative_slope"]}
    placement = Placement.uniform(learned, ["net.2"]).model_copy(
        update={"learning_rate_factor": 3.0}
    )
    placement.apply(module)
    weights, slopes = _configure_optimisers(module, placement).param_groups
    assert weights["lr"] == slopes["lr"] == pytest.approx(3e-3)
    assert (weights["weight_decay"], slopes["weight_decay"]) == (1e-2, 0.0)
    assert sum(len(group["params"]) for group in (weights, slopes)) == len(
        list(module.parameters())
    )


def test_a_module_without_a_place_for_the_line_is_refused():
    class Parts(Table):
        def configure_optimizers(self):
            return torch.optim.Adam(self.net.parameters(), lr=self.lr)

    class Rateless(Table):
        lr = property()

    with pytest.raises(InvalidValueError, match=r"must call self\.parameters\(\) once"):
        _configure_optimisers(Parts(), GELU)
    with pytest.raises(InvalidValueError, match="must have its learning rate as lr"):
        _configure_optimisers(Rateless(), GELU)


def test_an_ending_is_what_it_says():
    better, unknown = compare([1.0, 1.2, 0.9, 1.1]), compare([1.0, -1.0])

    def found(verdict, rate):
        measured = Confirmation("test_loss", "min", "test", [], [1], factors={"0": 9.0}, rate=rate)
        measured.over_untouched = better
        return SearchResult("s", GELU, [], [], measured, None, verdict)

    assert ending(found("better", better))[0] == GELU
    placement, claim = ending(found("no difference found", better))
    assert placement == at_rate(9.0)
    assert (claim["verdict"], claim["gain"]) == ("better by the rate alone", better.gain)
    placement, claim = ending(found("no difference found", unknown))
    assert placement == at_rate(1.0)
    assert "gain" not in claim


@pytest.mark.parametrize("name", TASKS)
def test_a_task_divides_its_rows_by_its_option(name):
    module, other = TASKS[name].build(), TASKS[name].build(2**31)
    rows = sorted(row for part in module.parts for row in part)
    assert rows == list(range(len(module.rows)))
    assert set(module.parts[2]) != set(other.parts[2])
    x, y = next(iter(other.val_dataloader()))
    assert torch.isfinite(module.loss((x, y)))


def test_some_tasks_are_held_out():
    assert len(TASKS) >= 9
    assert HELD_OUT
    assert set(TASKS) > HELD_OUT
