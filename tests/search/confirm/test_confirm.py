"""A confirmation races on new seeds, resumes, adds to what was measured, and says its verdict."""

from __future__ import annotations

import json
import math
import random
import types
from dataclasses import dataclass, field, replace

import pytest
from torch import nn

from actsearch.errors import ActsearchWarning, InvalidValueError, StudyError
from actsearch.placement import Placement
from actsearch.placement.placement import SiteEntry
from actsearch.search.confirm.confirm import confirm_study, most_trainings
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.executors.executor import Executor
from actsearch.search.study.config import StudyConfig
from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store
from actsearch.search.training.job import ModelInfo, Result
from actsearch.tracking import pictures
from actsearch.tracking.report import confirmation_rows

NAMES = {3: "tanh", 7: "elu", 5: "silu"}
"""Trials and what they place, the best by the search first."""


class Sited(nn.Module):
    """A model with the site of the placements."""

    def __init__(self):
        super().__init__()
        self.site = nn.ReLU()

    def forward(self, x):
        return self.site(x)


class Ranked(StudyRun):
    """A study whose search has ended."""

    trials = ()
    rate = 1.0

    def factor(self, trial):
        return self.rate

    def candidates(self, top):
        return [types.SimpleNamespace(number=number, user_attrs={}) for number in list(NAMES)[:top]]

    def placement(self, trial):
        return Placement(sites={"site": SiteEntry(activation=NAMES[trial.number])})


@dataclass
class Scripted(Executor):
    """Scores by activation and seed in place of trainings.

    A seed has its own luck, shared in part by all.
    """

    gains: dict[str, float]
    fail: tuple[str, ...] = ()
    die_after: int = 10**6
    latest_first: bool = False
    metric: str = "test_loss"
    rows: int = 0
    at_own_rate: dict[str, float] = field(default_factory=dict)
    stacks: str = "all"
    jobs: int = 0
    splits: list = field(default_factory=list)
    submitted: list = field(default_factory=list)
    waiting: list = field(default_factory=list)

    def submit(self, key, job):
        self.jobs += 1
        others = job.further
        if others and self.stacks != "all":
            reason = "it draws" if self.stacks == "none" else ""
            self.waiting.append((key, Result("failed", "whatever", one_by_one=reason)))
            return
        first, *further = map(self.outcome, [job, *others])
        self.waiting.append((key, replace(first, further=further)))

    def outcome(self, job):
        if len(self.submitted) == self.die_after:
            raise KeyboardInterrupt
        name = job.placement.sites["site"].activation if job.placement else "own"
        self.submitted.append((name, job.seed, job.folder))
        self.splits.append(job.split)
        own_rate = job.learning_rate_factor == 1.0
        gain = (
            self.at_own_rate.get(name, self.gains.get(name, 0.0))
            if own_rate
            else self.gains.get(name, 0.0)
        )
        noise = random.Random(f"{name} {job.seed} {own_rate}").gauss(0, 1)
        loss = 2.0 - gain + noise
        rows = [loss + self.luck(name, row) for row in range(self.rows)]
        loss = sum(rows) / len(rows) if rows else loss
        outcome = Result(
            "complete", metrics={self.metric: loss}, rows={self.metric: rows} if rows else {}
        )
        if name in self.fail:
            outcome = Result("failed", "diverged: val_loss became nan")
        return outcome

    @staticmethod
    def luck(name, row):
        return random.Random(f"{name} {row}").gauss(0, 30)

    def wait(self, on_report):
        return [self.waiting.pop(-1 if self.latest_first else 0)]

    def close(self):
        self.waiting.clear()


@pytest.fixture
def study(tmp_path):
    config = StudyConfig("own.Own", objectives=["val_loss:min"], test_metric="test_loss")
    return Ranked("s", Store(tmp_path), config, None, ModelInfo([], "fx", has_test=True))


def test_a_gain_is_found_and_the_others_are_dropped(study):
    executor = Scripted({"elu": 4.0})
    result = confirm_study(study, executor, top=3, seeds=8)
    number, c = result.winner
    assert number == 7
    assert c.significant
    assert c.low < 4.0 < c.high
    assert len(executor.submitted) <= 4 * 8
    assert c.pairs == len(result.seeds) > 8, "what the dropped ones save goes to the comparison"
    assert not set(result.selection) & set(result.seeds)
    verdict = result.verdict()
    assert verdict.startswith("trial 7 is better than the baseline: test_loss +")
    assert (
        f"{c.pairs} paired seeds, on this split, selected from 3 candidates on"
        f" {len(result.selection)} other seeds" in verdict
    )
    best = Placement.load(study.folder / "best.json")
    assert best.found["trial"] == 7
    assert best.found["significant"] is True
    assert best.found["comparison_seeds"] == result.seeds
    assert best.found["selection_seeds"] == result.selection
    numbers = [best.found["gain"], best.found["p"], *best.found["interval"]]
    assert numbers == [float(f"{number:.6g}") for number in numbers]
    header, lines = confirmation_rows(result)
    assert all(len(line) == len(header) for line in lines)
    assert [line[-1] for line in lines][1:] == [
        "dropped after 4 seeds",
        "better",
        "dropped after 4 seeds",
    ]
    pictures.confirmation(result, study.folder / "confirmation.png")


def test_no_difference_is_said_plainly(study):
    result = confirm_study(study, Scripted({}), top=1, seeds=4)
    c = result.comparisons[0]
    assert c.pairs == 4
    assert result.selection == []
    assert c.gain == pytest.approx(sum(result.differences(3)) / 4)
    assert result.verdict().startswith(
        "no difference found from the baseline: the best candidate, trial 3, has "
    )
    assert result.outcome == "no difference found"
    assert not (study.folder / "best.json").exists()
    with pytest.warns(ActsearchWarning, match="was not confirmed as better"):
        Placement.load(study.folder / "candidate.json").apply(Sited())


def test_a_clear_loss_is_called_worse_and_nothing_is_handed_out(study):
    result = confirm_study(study, Scripted({"tanh": -9.0}), top=1, seeds=8)
    assert result.outcome == "worse"
    assert result.verdict().startswith(
        "worse than the baseline: the best candidate, trial 3, has test_loss -"
    )
    assert (study.folder / "candidate.json").exists()


def test_a_later_verdict_takes_the_place_of_an_earlier_one(study):
    confirm_study(study, Scripted({"elu": 4.0}), top=3, seeds=8)
    assert [(study.folder / name).exists() for name in ("best.json", "candidate.json")] == [
        True,
        False,
    ]
    (study.folder / "confirmation.json").unlink()
    confirm_study(study, Scripted({}), top=3, seeds=8)
    assert [(study.folder / name).exists() for name in ("best.json", "candidate.json")] == [
        False,
        True,
    ]


def test_weights_are_kept_once_for_each_compared_arm(study):
    executor = Scripted({"elu": 4.0})
    confirm_study(study, executor, top=3, seeds=8)
    folders = [folder.rpartition("/")[2] for _, _, folder in executor.submitted if folder]
    assert folders == ["baseline", "00007"]


@pytest.mark.parametrize("stacks", ["all", "none", "fail"])
def test_the_seeds_of_an_arm_train_as_one_where_that_can_be(study, tmp_path, stacks):
    expected = confirm_study(study, single := Scripted({"elu": 4.0}), seeds=16)
    small = replace(study.model_info, one_by_one="")
    other = Ranked("other", Store(tmp_path), study.config, None, small)
    executor = Scripted({"elu": 4.0}, stacks=stacks)
    found = confirm_study(other, executor, seeds=16, jobs=2)
    assert (found.scores, found.verdict()) == (expected.scores, expected.verdict())
    assert sorted(executor.submitted, key=str) == sorted(
        [(name, seed, folder.replace("/s/", "/other/")) for name, seed, folder in single.submitted],
        key=str,
    )
    tried = executor.jobs - len(executor.submitted)
    if stacks == "all":
        assert executor.jobs < single.jobs / 2
    elif stacks == "none":
        assert tried == 4, "once for each arm"
    else:
        assert tried == 5, "one that fails beside others says nothing of the next"


def test_the_order_in_which_trainings_end_changes_nothing(study, tmp_path):
    first = confirm_study(study, Scripted({"elu": 1.0}), jobs=1)
    other = Ranked("other", Store(tmp_path), study.config, None, study.model_info)
    second = confirm_study(other, Scripted({"elu": 1.0}, latest_first=True), jobs=3)
    assert (first.scores, first.seeds, first.comparisons[1]) == (
        second.scores,
        second.seeds,
        second.comparisons[1],
    )


def test_an_interrupted_race_goes_on_where_it_stood(study, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        confirm_study(study, Scripted({"elu": 1.0}, die_after=15))
    assert Confirmation.read(study).comparisons == []
    rest = Scripted({"elu": 1.0})
    resumed = confirm_study(study, rest)
    whole = Scripted({"elu": 1.0})
    expected = confirm_study(
        Ranked("other", Store(tmp_path), study.config, None, study.model_info), whole
    )
    assert len(rest.submitted) == len(whole.submitted) - 15
    assert (resumed.scores, resumed.verdict()) == (expected.scores, expected.verdict())


def test_more_seeds_add_to_what_was_measured_and_are_corrected_for(study):
    first = confirm_study(study, Scripted({"elu": 1.0}), top=1, seeds=6)
    more = Scripted({"elu": 1.0})
    second = confirm_study(study, more, top=1, seeds=10)
    assert len(more.submitted) == 8
    assert second.seeds[:6] == first.seeds
    assert (first.looks, second.looks) == (1, 2)
    assert "corrected for 2 verdicts on this study" in second.verdict()
    nothing = Scripted({"elu": 1.0})
    assert confirm_study(study, nothing, top=1, seeds=10).verdict() == second.verdict()
    assert nothing.submitted == []


def test_the_file_is_strict_json_and_is_read_back(study):
    result = confirm_study(study, Scripted({"elu": 4.0}), top=3, seeds=8)
    json.loads((study.folder / "confirmation.json").read_text(), parse_constant=pytest.fail)
    again = Confirmation.read(study)
    assert again.winner == result.winner
    assert again.verdict() == result.verdict()
    assert math.isnan(again.comparisons[0].gain)
    assert again.comparisons[0].high == math.inf


def test_progress_counts_to_the_end(study):
    seen = []
    confirm_study(study, Scripted({"elu": 4.0}), progress=lambda done, of: seen.append((done, of)))
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert seen[0] == (0, 32)
    assert seen[-1][0] == seen[-1][1] <= 32


def test_a_candidate_that_fails_is_not_selected_and_failures_are_counted(study):
    result = confirm_study(study, Scripted({"tanh": 9.0, "elu": 4.0}, fail=("tanh",)))
    assert result.winner[0] == 7
    assert len(result.failures) == len(result.selection)
    assert set(result.failures.values()) == {"diverged: val_loss became nan"}
    assert f"{len(result.failures)} trainings failed" in result.verdict()


@pytest.fixture
def tuned(study):
    study.rate = 3.0
    return study


def test_the_model_as_it_is_trains_beside_a_tuned_baseline_and_a_winner_at_the_own_rate_too(tuned):
    executor = Scripted({"elu": 8.0, "own": 2.0}, at_own_rate={"own": 0.0, "elu": -6.0})
    result = confirm_study(tuned, executor, top=3, seeds=8)
    assert result.outcome == "better"
    assert result.winner[1].gain == pytest.approx(6, abs=1.5)
    assert result.over_untouched.gain == pytest.approx(8, abs=1.5)
    assert result.rate.gain == pytest.approx(2, abs=1.5)
    assert result.at_own_rate.verdict == "worse"
    assert result.at_own_rate.gain == pytest.approx(-6, abs=1.5)
    assert "the baseline at its tuned learning rate" in result.verdict()
    assert "against the model as it is test_loss +" in result.verdict()
    best = Placement.load(tuned.folder / "best.json")
    assert best.learning_rate_factor == 3.0
    assert best.found["at_own_rate"]["verdict"] == "worse"
    assert best.found["over_untouched"]["verdict"] == "better"
    assert len(executor.submitted) <= most_trainings(tuned, 3, 8)
    _, lines = confirmation_rows(result)
    assert [line[0] for line in lines][-1] == "7, own rate, over that"
    assert Confirmation.read(tuned).at_own_rate == result.at_own_rate


def test_scores_at_a_rate_that_is_no_longer_the_arms_are_not_used_again(study):
    first = confirm_study(study, Scripted({"elu": 1.0}), top=1, seeds=4)
    again = Scripted({"elu": 1.0})
    confirm_study(study, again, top=1, seeds=4)
    assert again.submitted == []
    study.rate = 3.0
    moved = Scripted({"elu": 1.0})
    second = confirm_study(study, moved, top=1, seeds=4)
    assert {name for name, _, _ in moved.submitted} >= {"own", "tanh"}
    assert (first.factors["0"], second.factors["0"]) == (1.0, 3.0)


def test_what_only_beats_a_baseline_that_tuning_has_spoiled_is_no_winner(tuned):
    result = confirm_study(
        tuned, Scripted({"elu": 0.0, "own": -6.0}, at_own_rate={"own": 0.0}), top=3, seeds=8
    )
    assert result.winner[1].verdict == "better"
    assert result.over_untouched.verdict == "no difference found"
    assert result.outcome == "no difference found"
    assert result.rate.verdict == "worse"
    assert not (tuned.folder / "best.json").exists()


def test_each_seed_has_a_split_of_its_own_where_there_is_an_option_for_it(study):
    study.config = replace(study.config, split_option="task.split_seed")
    executor = Scripted({"elu": 4.0})
    result = confirm_study(study, executor, top=3, seeds=8)
    by_seed = {}
    for (_, seed, _), split in zip(executor.submitted, executor.splits, strict=True):
        by_seed.setdefault(seed, set()).add(split)
    assert all(len(splits) == 1 for splits in by_seed.values()), "the arms of a pair share it"
    assert len({split for splits in by_seed.values() for split in splits}) == len(by_seed)
    assert "each with a split of its own" in result.verdict()
    assert Placement.load(study.folder / "best.json").found["splits"] == result.winner[1].pairs


def test_rows_widen_the_interval_where_a_gain_may_be_of_these_rows_alone(study, tmp_path):
    narrow = confirm_study(study, Scripted({"elu": 4.0}), top=1, seeds=8)
    other = Ranked("other", Store(tmp_path), study.config, None, study.model_info)
    wide = confirm_study(other, Scripted({"elu": 4.0}, rows=50), top=1, seeds=8)
    (a,), (b,) = narrow.comparisons, wide.comparisons
    assert (a.rows, b.rows) == (0, 50)
    assert b.high - b.low > 3 * (a.high - a.low)
    assert "with its 50 rows in the interval" in wide.verdict()


def test_errors_name_the_way_out(study):
    with pytest.raises(
        InvalidValueError, match="must have top >= 1 and seeds >= 2, but got top=0, seeds=8"
    ):
        confirm_study(study, Scripted({}), top=0)
    with pytest.raises(
        StudyError,
        match="no pair of trainings of the confirmation ended well: diverged: val_loss became nan",
    ):
        confirm_study(study, Scripted({}, fail=("own", "tanh", "elu", "silu")))
    with pytest.raises(StudyError, match="metric 'test_loss' must be logged in test"):
        confirm_study(study, Scripted({}, metric="loss"))
