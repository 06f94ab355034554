"""A user's own module whose loaders have workers, as nearly every real one's.

It is searched and confirmed by the command.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from actsearch.search.confirm.confirm import Confirmation
from actsearch.search.study.record import StudyRun, result_of
from actsearch.search.study.store import Store

WORKERS = """
import os
import torch
import own

class Data(torch.utils.data.Dataset):
    def __init__(self, seed):
        self.x = torch.randn(64, 2, generator=torch.Generator().manual_seed(seed))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        assert torch.utils.data.get_worker_info().num_workers == 2
        x = self.x[index]
        return x, (x[:1] * x[1:]).sin()

def note(worker):
    open(f"workers/{os.getpid()}", "w")

class Workers(own.Own):
    def _batches(self, seed):
        return torch.utils.data.DataLoader(
            Data(seed), batch_size=16, num_workers=2, persistent_workers=True, worker_init_fn=note
        )
"""


def test_searched_and_confirmed(own):
    (own / "workers.py").write_text(WORKERS)
    (own / "workers").mkdir()
    options = (
        "--space space.yaml --trials 2 --confirm 1 --seeds 2 --store store --study s"
        " --learning_rate fixed --trainer.max_epochs 2"
    )
    program = str(Path(sys.executable).parent / "actsearch")
    command = [program, "search", "workers.Workers", *options.split()]
    ended = subprocess.run(command, cwd=own, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "semaphore" not in ended.stderr
    run = StudyRun.load(Store(own / "store"), "s")
    assert [result_of(trial).reason for trial in run.trials] == ["", ""]
    confirmation = Confirmation.read(run)
    assert not confirmation.failures
    assert len(confirmation.scores) == 4
    workers = [int(file.name) for file in (own / "workers").iterdir()]
    assert len(workers) >= 2 * (2 + 4), "every training must have had its own"
    assert not [process for process in workers if Path(f"/proc/{process}").exists()]
