"""However a training or a search ends, nothing that it started goes on.

It is counted, process by process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actsearch.search.executors.local import LocalExecutor
from actsearch.search.study.config import StudyConfig
from actsearch.search.training.job import Job, Result
from actsearch.search.training.target import Target

from .remains import LINUX, STUBBORN, left, lives, marked

STARTER = (
    STUBBORN
    + '''
import ctypes, multiprocessing, subprocess
import own

class Starter(own.Own):
    """Starts things, notes their processes, and then ends or does not.

    Args:
        how: what it starts.
        then: what it does afterwards: ``return``, ``exit``, ``killed``, ``sleep``, or ``hold`` the
            interpreter's lock.
    """

    def __init__(self, how: str = "", then: str = "return"):
        super().__init__()
        self.how, self.then = how, then

    def on_train_start(self):
        note(os.getpid())
        match self.how:
            case "command":
                note(subprocess.Popen(SLEEP).pid)
            case "shell":  # a child of a child, and both in a process group of their own
                command = ["/bin/sh", "-c", '"$@" & echo $!; wait', "", *SLEEP]
                shell = subprocess.Popen(command, stdout=-1, process_group=0)
                note(shell.pid)
                note(int(shell.stdout.readline()))
            case "session":
                note(subprocess.Popen(SLEEP, start_new_session=True).pid)
            case "fork" | "spawn" | "forkserver":
                context = multiprocessing.get_context(self.how)
                process = context.Process(target=time.sleep, args=(600,))
                process.start()
                note(process.pid)
        match self.then:
            case "exit":
                os._exit(7)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sleep":
                time.sleep(600)
            case "hold":
                ctypes.PyDLL(None).sleep(600)

    def train_dataloader(self):
        if self.how != "deadlock":
            return super().train_dataloader()
        return torch.utils.data.DataLoader(Deadlock(), num_workers=2, persistent_workers=True)
'''
)
COORDINATOR = """
import sys
from pathlib import Path
from actsearch.search.executors.local import LocalExecutor
from actsearch.search.training.job import Job

if __name__ == "__main__":
    files = sorted(Path("wanted").iterdir())
    with LocalExecutor(len(files)) as executor:
        for key, file in enumerate(files):
            executor.submit(key, Job.loads(file.read_text()))
        Path("submitted").touch()
        while True:
            for key, result in executor.wait(lambda *_: False):
                print(key, result.reason, flush=True)
"""


@pytest.fixture
def specify(own: Path) -> Callable[..., Job]:
    (own / "starter.py").write_text(STARTER)
    (own / "started").mkdir()
    config = Target.resolve("own.Own").configure({"trainer.max_epochs": 1})
    given = StudyConfig(
        "starter.Starter", config=config, objectives=["val_loss:min"], test_metric="test_loss"
    )

    def job(how: str, then: str) -> Job:
        return replace(given.job(None), config={**config, "task": {"how": how, "then": then}})

    return job


def started(folder: Path) -> set[int]:
    return {int(file.name) for file in (folder / "started").iterdir()}


def run(executor: LocalExecutor, *jobs_: Job) -> list[Result]:
    for key, job in enumerate(jobs_):
        executor.submit(key, job)
    ended: dict[int, Result] = {}
    while len(ended) < len(jobs_):
        for key, result in executor.wait(lambda *_: False):
            assert key not in ended
            ended[key] = result
    return [ended[key] for key in range(len(jobs_))]


HOW = ["command", "shell", "fork", "forkserver", *(["session"] if LINUX else [])]


def test_after_each_end_of_a_training(specify, own):
    # Of a session whose parent is gone nobody knows where it came from.
    after_crash = [how for how in HOW if how != "session"]
    wanted = [(how, "return") for how in HOW]
    wanted += [(how, then) for then in ("exit", "killed") for how in after_crash[:2]]
    with LocalExecutor(len(wanted)) as executor:
        results = run(executor, *(specify(*one) for one in wanted))
        reasons = [result.reason for result in results]
        # The executor is still open.
        survivors = left(lambda: {p for p in started(own) if lives(p)})
    print(f"started {len(started(own))}, left {len(survivors)}")
    assert reasons[: len(HOW)] == [""] * len(HOW)
    assert (
        reasons[len(HOW) :]
        == ["exited: the process ended with code 7"] * 2 + ["killed: by signal 9 (SIGKILL)"] * 2
    )
    assert len(started(own)) >= 2 * len(wanted)
    assert not survivors


def test_after_a_timeout(specify, own):
    wanted = [("deadlock", "return"), ("command", "hold"), ("shell", "sleep")]
    with LocalExecutor(len(wanted), timeout=8) as executor:
        results = run(executor, *(specify(*one) for one in wanted))
        survivors = left(lambda: {p for p in started(own) if lives(p)})
    assert {(result.state, result.reason) for result in results} == {
        ("failed", "timeout: longer than 8 s")
    }
    assert len(started(own)) == 8, "each training, two workers, a command, a shell with its own"
    assert not survivors


@pytest.mark.parametrize("how", ["exception", "SIGTERM"])
def test_after_an_end_in_the_coordinator(how, specify, own):
    def search() -> None:
        with LocalExecutor(2) as executor:
            executor.submit(0, specify("command", "hold"))
            executor.submit(1, specify("deadlock", "return"))
            while len(started(own)) < 5:
                executor.wait(lambda *_: False)
            if how == "exception":
                raise RuntimeError
            os.kill(os.getpid(), signal.SIGTERM)
            executor.wait(lambda *_: False)

    with pytest.raises(KeyboardInterrupt if how == "SIGTERM" else RuntimeError):
        search()
    assert not left(lambda: {p for p in started(own) if lives(p)})


@pytest.mark.parametrize(
    "how",
    [
        "kill",
        pytest.param("kill the group", marks=pytest.mark.long),
        pytest.param("interrupt twice", marks=pytest.mark.long),
    ],
)
def test_after_the_coordinator(how, specify, own):
    (own / "wanted").mkdir()
    (own / "coordinator.py").write_text(COORDINATOR)
    wanted = [
        ("deadlock", "return"),
        ("command", "hold"),
        ("shell", "sleep"),
        ("forkserver", "hold"),
    ]
    for number, one in enumerate(wanted):
        (own / "wanted" / str(number)).write_text(specify(*one).dumps())
    mark = f"MARK={own}"
    process = subprocess.Popen(
        [sys.executable, "coordinator.py"],
        cwd=own,
        env=os.environ | {"MARK": str(own)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while len(started(own)) < 10 and time.monotonic() < end:
        time.sleep(0.1)
    assert process.poll() is None
    before = marked(mark) | {p for p in started(own) if lives(p)}
    match how:
        case "kill":
            process.kill()
        case "kill the group":
            os.killpg(process.pid, signal.SIGKILL)
        case "interrupt twice":
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.02)  # two at once are one to the system
            os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=20)[1]
    survivors = left(lambda: marked(mark) | {p for p in started(own) if lives(p)})
    print(f"{how}: {len(before)} processes before, {len(survivors)} after")
    assert len(started(own)) == 10
    assert not survivors
    # The first may have ended the script's wait before the second came.
    assert errors == "" or (
        how == "interrupt twice" and errors.rstrip().endswith("KeyboardInterrupt: 130")
    )


def test_a_killed_guardian_is_replaced(specify, own):
    with LocalExecutor(2) as executor:
        executor.submit(0, specify("command", "sleep"))
        first = executor._guardian._helper
        first.kill()
        first.wait()
        executor.submit(1, specify("command", "sleep"))
        assert executor._guardian._helper is not first
        assert executor._guardian._helper.poll() is None
    assert executor._guardian._helper is None
