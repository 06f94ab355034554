"""A Lightning strategy that spawns a process for each device, in a trial of its own process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from torch.multiprocessing.spawn import ProcessRaisedException

from actsearch.placement import Placement, find_sites
from actsearch.search.executors.local import LocalExecutor
from actsearch.search.study.config import StudyConfig
from actsearch.search.training.job import Job, LossCurve, Result
from actsearch.search.training.target import Target
from actsearch.search.training.train import reason_of, run_job

RANKS = """
import os
import torch
import own

class Ranks(own.Own):
    def validation_step(self, batch, index):
        super().validation_step(batch, index)
        rates = [group["lr"] for group in self.trainer.optimizers[0].param_groups]
        self.log("ranks", float(torch.distributed.get_world_size()))
        self.log("rate", rates[0], sync_dist=True)
        self.log("rate_of_activations", rates[-1], sync_dist=True)
        if self.trainer.is_global_zero:
            open("wrote", "a").write(f"{os.getpid()}\\n")
"""


def job(folder: Path, **trainer: object) -> Job:
    (folder / "ranks.py").write_text(RANKS)
    options = {"trainer.max_epochs": 2, "trainer.accelerator": "cpu", "trainer.devices": 2}
    config = Target.resolve("own.Own").configure(
        options | {f"trainer.{key}": value for key, value in trainer.items()}
    )
    given = StudyConfig(
        "ranks.Ranks", config=config, objectives=["val_loss:min"], test_metric="test_loss"
    )
    return given.job(None)


def run(job: Job) -> Result:
    with LocalExecutor() as executor:
        executor.submit(0, job)
        while not (ended := executor.wait(lambda *_: False)):
            pass
    return ended[0][1]


@pytest.mark.long
def test_trains_in_spawned_ranks(own):
    wanted = job(own, strategy="ddp_spawn")
    from own import Own

    placement = Placement.uniform("prelu", find_sites(Own()))
    result = run(
        replace(
            wanted,
            placement=placement,
            folder=str(own / "kept"),
            learning_rate_factor=2.0,
            measures={"latency": {}},
        )
    )
    assert result.state == "complete", result.reason
    assert result.metrics["ranks"] == 2
    assert result.metrics["rate"] == pytest.approx(2e-2), "the factor must reach the ranks"
    assert result.metrics["rate_of_activations"] == pytest.approx(2e-2)
    assert result.metrics["latency"] > 0
    assert (own / "kept" / "weights.safetensors").exists()
    assert len(set((own / "wrote").read_text().split())) == 1, "one process of the two writes"
    assert result.history == []
    assert result.first_steps == LossCurve()


def test_an_empty_record_of_first_steps_judges_nothing(own):
    wanted = replace(job(own, devices=1), task="own.Own")
    result = run_job(replace(wanted, baseline=LossCurve()), lambda *_: False)
    assert result.state == "complete", result.reason
    assert result.first_steps.losses


def test_refuses_a_strategy_that_starts_the_command_anew(own):
    result = run(job(own, strategy="ddp"))
    assert result.state == "failed"
    assert (
        result.reason
        == "refused: strategy for several devices must spawn its processes, but got 'DDPStrategy',"
        " which starts the command anew in each. Choose --trainer.strategy ddp_spawn, or"
        " --trainer.devices 1."
    )


def test_names_the_error_of_a_rank():
    text = (
        "\n\n-- Process 1 terminated with the following error:\nTraceback (most recent call"
        " last):\n  ...\nRuntimeError: oh no\n"
    )
    assert (
        reason_of(ProcessRaisedException(text, 1, 123))
        == "error: ProcessRaisedException: RuntimeError: oh no"
    )
