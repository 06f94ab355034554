"""A trial that goes wrong fails alone, with its reason, and the search goes on."""

from __future__ import annotations

import re

import pytest
from optuna.trial import TrialState

from actsearch.search.study.record import StudyRun, counts, result_of
from actsearch.search.study.store import Store

REASONS = {
    "tanh=diverge": r"diverged: the training loss became nan in step 1",
    "elu=raise": r"error: RuntimeError: the user's own mistake \(.*own\.py:\d+\)",
    "silu=exit": r"exited: the training called sys.exit\(3\)",
    "gelu=abort": r"exited: the process ended with code 7",
    "mish=killed": r"killed: by signal 9 \(SIGKILL\)",
    "selu=hang": r"timeout: longer than 5 s",
}
NAMES = ["relu", *(pair.partition("=")[0] for pair in REASONS)]
TRIALS = 10
"""The baseline, each of the others as a famous activation, and some again."""


@pytest.mark.long
def test_goes_wrong_alone(own, actsearch):
    (own / "space.yaml").write_text(
        "granularity: model\nactivations:\n" + "".join(f"  {name}:\n" for name in NAMES)
    )
    options = (
        "--space space.yaml --sampler random --pruner none --learning-rate fixed"
        f" --trials {TRIALS} --confirm 0 --store store --study s --trial-timeout 5"
        f" --trainer.max_epochs 1 --task.wrong {','.join(REASONS)}"
    )
    result = actsearch("search", "own.Own", *options.split())
    assert result.returncode == 0, result.stderr
    run = StudyRun.load(Store(own / "store"), "s")
    assert sum(map(counts, run.trials)) == TRIALS
    for pair, reason in REASONS.items():
        failed = [t for t in run.trials if t.params["model"] == pair.partition("=")[0]]
        assert failed
        for trial in failed:
            assert trial.state == TrialState.FAIL
            assert re.match(reason, result_of(trial).reason), result_of(trial).reason
    assert all(t.state == TrialState.COMPLETE for t in run.trials if t.params["model"] == "relu")
