"""A training on two devices: a process for each, in a trial of its own process."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from torch.multiprocessing.spawn import ProcessRaisedException

from actsearch.placement import Placement, find_sites
from actsearch.run import run_search
from actsearch.search.executors.inline import InlineExecutor
from actsearch.search.executors.local import LocalExecutor
from actsearch.search.study.config import StudyConfig
from actsearch.search.study.record import StudyRun, counts
from actsearch.search.study.store import Store
from actsearch.search.training.job import Job, Result
from actsearch.search.training.target import Target
from actsearch.search.training.train import reason_of, run_job

RANKS = """
import os
import torch
import own

class Ranks(own.Own):
    def __init__(self, width: int = 8, second: str = "", mark: str = ""):
        super().__init__(width)
        self.second, self.mark = second, mark

    def on_train_start(self):
        if self.mark:
            open(f"{self.mark}.{self.global_rank}", "w").write(str(os.getpid()))

    def training_step(self, batch, index):
        if self.global_rank == 1:
            match self.second:
                case "raise":
                    raise RuntimeError("a mistake of the second rank")
                case "abort":
                    os._exit(7)
                case "hang":
                    torch.distributed.barrier()
        loss = super().training_step(batch, index)
        return loss * float("nan") if self.second == "diverge" else loss

    def validation_step(self, batch, index):
        super().validation_step(batch, index)
        rates = [group["lr"] for group in self.trainer.optimizers[0].param_groups]
        self.log("ranks", float(torch.distributed.get_world_size()))
        self.log("rank", float(self.global_rank))
        self.log("rate", rates[0])
        self.log("rate_of_activations", rates[-1])
"""
TWO = {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}


def job(folder: Path, trainer: dict[str, object] = TWO, **task: object) -> Job:
    (folder / "ranks.py").write_text(RANKS)
    options = {"trainer.max_epochs": 2} | {f"trainer.{k}": v for k, v in trainer.items()}
    config = Target.resolve("own.Own").configure(options)
    config = {**config, "task": task}
    given = StudyConfig("ranks.Ranks", config=config, objectives=["val_loss:min"])
    return given.job(None)


def run(job: Job, on_report=lambda *_: False, **how) -> Result:
    with LocalExecutor(**how) as executor:
        executor.submit(0, job)
        while not (ended := executor.wait(on_report)):
            pass
    return ended[0][1]


def are_gone(mark: Path) -> bool:
    """Whether both ranks have ended: a killed process takes a moment."""
    folders = [Path("/proc", Path(f"{mark}.{rank}").read_text()) for rank in range(2)]
    give_up = time.monotonic() + 5
    while any(folder.exists() for folder in folders) and time.monotonic() < give_up:
        time.sleep(0.05)
    return not any(folder.exists() for folder in folders)


@pytest.mark.parametrize(
    "strategy",
    ["ddp", *(pytest.param(s, marks=pytest.mark.long) for s in ("ddp_spawn", "ddp_notebook"))],
)
def test_trains_in_two_ranks_which_report_measure_and_keep_as_one(own, strategy):
    wanted = job(own, TWO | {"strategy": strategy}, mark=str(own / "process"))
    from own import Own

    placement = Placement.uniform("prelu", find_sites(Own()))
    wanted = replace(
        wanted,
        placement=placement,
        folder=str(own / "kept"),
        learning_rate_factor=2.0,
        measures={"latency": {}},
        kind="confirm",
    )
    told = []
    result = run(wanted, lambda key, epoch, metrics: bool(told.append(epoch)))
    assert result.state == "complete", result.reason
    assert (result.metrics["ranks"], result.metrics["rank"]) == (2, 0)
    assert result.metrics["rate"] == pytest.approx(2e-2), "the factor must reach the ranks"
    assert result.metrics["rate_of_activations"] == pytest.approx(2e-2)
    assert result.metrics["latency"] > 0
    assert result.metrics["test_loss"] > 0
    assert told == [0, 1]
    assert len(result.first_steps.losses) == 4, "each rank has half of the batches"
    assert (own / "kept" / "weights.safetensors").exists()
    assert len({(own / f"process.{rank}").read_text() for rank in range(2)}) == 2
    assert are_gone(own / "process")


@pytest.mark.long
def test_one_that_is_told_to_stop_stops_in_all_ranks(own):
    result = run(job(own), lambda *_: True)
    assert (result.state, len(result.history)) == ("pruned", 1)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        pytest.param(
            "raise", "error: RuntimeError: a mistake of the second rank", marks=pytest.mark.long
        ),
        pytest.param("diverge", "diverged: the training loss became nan", marks=pytest.mark.long),
        # Told by the connection to it, or by Lightning, which ends the others.
        pytest.param("abort", ("error: ", "killed: "), marks=pytest.mark.long),
    ],
)
def test_a_fault_of_a_rank_is_one_of_the_training(own, second, reason):
    mark = own / "process"
    start = time.monotonic()
    result = run(job(own, second=second, mark=str(mark)))
    assert result.state == "failed"
    assert result.reason.startswith(reason), result.reason
    assert time.monotonic() - start < 60
    assert are_gone(mark)


@pytest.mark.long
def test_ranks_that_hang_end_with_the_training(own):
    mark = own / "process"
    result = run(job(own, second="hang", mark=str(mark)), timeout=20)
    assert result.reason == "timeout: longer than 20 s"
    assert are_gone(mark)


@pytest.mark.long
def test_searched_and_confirmed_in_two_ranks(own):
    job(own)
    result = run_search(
        "ranks.Ranks",
        "rectifiers",
        trials=3,
        learning_rate="fixed",
        confirm=1,
        seeds=2,
        store=own / "store",
        monitor="val_loss",
        test_metric="test_loss",
        config={"trainer.max_epochs": 2} | {f"trainer.{k}": v for k, v in TWO.items()},
    )
    run = StudyRun.load(Store(own / "store"), result.study)
    assert [t.state.name for t in run.trials if counts(t)] == ["COMPLETE"] * 3
    assert len(result.confirmation.scores) == 4
    assert not result.confirmation.failures


def test_in_this_process_there_is_no_room_for_others(own):
    executor = InlineExecutor()
    executor.submit(0, job(own))
    ((_, result),) = executor.wait(lambda *_: False)
    assert result.reason == (
        "refused: strategy 'DDPStrategy' must have a process for each training, to start others"
        " beside it, but the executor is 'inline'. Choose --executor local, or --trainer.devices 1."
    )


def test_names_the_error_of_a_spawned_process():
    text = (
        "\n\n-- Process 1 terminated with the following error:\nTraceback (most recent call"
        " last):\n  ...\nRuntimeError: oh no\n"
    )
    assert (
        reason_of(ProcessRaisedException(text, 1, 123))
        == "error: ProcessRaisedException: RuntimeError: oh no"
    )


def test_an_empty_record_of_first_steps_judges_nothing(own):
    from actsearch.search.training.job import LossCurve

    wanted = replace(job(own, {"devices": 1}), task="own.Own")
    result = run_job(replace(wanted, baseline=LossCurve()), lambda *_: False)
    assert result.state == "complete", result.reason
    assert result.first_steps.losses
