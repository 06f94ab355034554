"""A Lightning strategy that spawns a process for each device, in a trial of its own process."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from torch.multiprocessing.spawn import ProcessRaisedException

from actsearch.placement import Placement, find_sites
from actsearch.search.executors.executor import LocalExecutor
from actsearch.search.study.config import Objective, Plan
from actsearch.search.training.job import Outcome, Specification
from actsearch.search.training.target import Target
from actsearch.search.training.train import _reason, run_trial

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


def specification(folder: Path, **trainer: object) -> Specification:
    (folder / "ranks.py").write_text(RANKS)
    options = {"trainer.max_epochs": 2, "trainer.accelerator": "cpu", "trainer.devices": 2}
    config = Target.resolve("own.Own").configure(
        options | {f"trainer.{key}": value for key, value in trainer.items()}
    )
    plan = Plan(
        "ranks.Ranks", config, "space.yaml", {}, (Objective("val_loss", "min"),), "test_loss"
    )
    return plan.specification(None)


def run(specification: Specification) -> Outcome:
    with LocalExecutor() as executor:
        executor.submit(0, specification)
        while not (ended := executor.wait(lambda *_: False)):
            pass
    return ended[0][1]


def test_trains_in_spawned_ranks(own):
    wanted = specification(own, strategy="ddp_spawn")
    from own import Own

    placement = Placement.uniform("prelu", find_sites(Own()))
    outcome = run(
        replace(
            wanted,
            placement=json.loads(placement.dumps()),
            folder=str(own / "kept"),
            learning_rate_factor=2.0,
            activation_learning_rate_factor=0.5,
            measures=["latency"],
        )
    )
    assert outcome.state == "complete", outcome.reason
    assert outcome.metrics["ranks"] == 2
    assert outcome.metrics["rate"] == pytest.approx(2e-2), "the factors must reach the ranks"
    assert outcome.metrics["rate_of_activations"] == pytest.approx(1e-2)
    assert outcome.metrics["latency"] > 0
    assert (own / "kept" / "weights.safetensors").exists()
    assert len(set((own / "wrote").read_text().split())) == 1, "one process of the two writes"
    assert outcome.history == []
    assert outcome.first_steps == {"losses": [], "gradient": None}


def test_an_empty_record_of_first_steps_judges_nothing(own):
    wanted = replace(specification(own, devices=1), task="own.Own")
    for empty in ({"losses": [], "gradient": None}, {}):
        outcome = run_trial(replace(wanted, watch=empty), lambda *_: False)
        assert outcome.state == "complete", outcome.reason
        assert outcome.first_steps["losses"]


def test_refuses_a_strategy_that_starts_the_command_anew(own):
    outcome = run(specification(own, strategy="ddp"))
    assert outcome.state == "failed"
    assert (
        outcome.reason
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
        _reason(ProcessRaisedException(text, 1, 123))
        == "error: ProcessRaisedException: RuntimeError: oh no"
    )
