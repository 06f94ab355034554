"""Whatever goes wrong in a training is that training's failure, told by its reason.

The others, the limit and the machine see nothing of it.
"""

from __future__ import annotations

import re
import textwrap
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from actsearch.search.executors.local import LocalExecutor
from actsearch.search.study.config import StudyConfig
from actsearch.search.training.job import Job, Result
from actsearch.search.training.target import Target

from .remains import STUBBORN, left, lives

LIMIT = 12.0


class Fault(NamedTuple):
    """What the second step of a training does, and what must be told of it."""

    code: str
    state: str = "complete"
    reason: str = ""


def failed(code: str, reason: str) -> Fault:
    return Fault(code, "failed", reason)


def late(code: str) -> Fault:
    return failed(code, r"timeout: longer than 12 s")


UNPRINTABLE = """
class Unprintable(Exception):
    def __reduce__(self):
        raise TypeError
    def __str__(self):
        raise ValueError
raise Unprintable
"""
TWIN = """
os.fork()
note(os.getpid())
"""
FAULTS = {
    "exit(0)": failed("os._exit(0)", r"exited: the process ended with code 0"),
    "exit(7)": failed("os._exit(7)", r"exited: the process ended with code 7"),
    "sys.exit(0)": failed("sys.exit(0)", r"exited: the training called sys.exit\(0\)"),
    "segmentation fault": failed("ctypes.string_at(0)", r"killed: by signal 11 \(SIGSEGV\)"),
    "abort": failed("os.abort()", r"killed: by signal 6 \(SIGABRT\)"),
    "kill -9": failed("os.kill(os.getpid(), 9)", r"killed: by signal 9 \(SIGKILL\)"),
    "real-time signal": failed(
        "os.kill(os.getpid(), signal.SIGRTMIN + 6)", r"killed: by signal \d+$"
    ),
    # Lightning ends at the next step.
    "SIGTERM": failed("os.kill(os.getpid(), signal.SIGTERM)", r"exited: the training called sys"),
    "SIGINT": Fault("os.kill(os.getpid(), signal.SIGINT)"),
    "SIGSTOP": late("os.kill(os.getpid(), signal.SIGSTOP)"),
    "KeyboardInterrupt": failed("raise KeyboardInterrupt", r"error: KeyboardInterrupt"),
    "out of memory in torch": failed("torch.empty(1 << 58)", r"out_of_memory: .+"),
    "out of memory in Python": failed("bytearray(1 << 58)", r"out_of_memory: "),
    "sleep": late("time.sleep(600)"),
    "sleep with the interpreter's lock": late("ctypes.PyDLL(None).sleep(600)"),
    "busy": late("while True: pass"),
    "error in validation": failed("self.validate = 'raise'", r"error: RuntimeError: in validation"),
    "unprintable error": failed(UNPRINTABLE, r"error: Unprintable"),
    "BaseException": failed("raise BaseException('base')", r"error: BaseException: base"),
    "GeneratorExit": failed("raise GeneratorExit", r"error: GeneratorExit"),
    "deep recursion": failed("def f(): f()\nf()", r"error: RecursionError: maximum recursion"),
    "30 MB of output": Fault("print('x' * 30_000_000)"),
    "raw bytes as output": Fault("os.write(1, bytes(range(256)))\nos.write(2, b'\\xff' * 9)"),
    "5,000 warnings": Fault("for n in range(5000): warnings.warn(f'beware {n}')"),
    "all descriptors closed": failed(
        "os.closerange(3, 4096)", r"exited: the process ended with code 1"
    ),
    "folder gone": Fault("os.chdir(tempfile.mkdtemp())\nPath.cwd().rmdir()"),
    "50 threads": Fault(
        "for _ in range(50): threading.Thread(target=time.sleep, args=[600]).start()"
    ),
    "NaN loss": failed("self.loss = float('nan')", r"diverged: the training loss became nan"),
    "NaN metric": failed("self.validate = float('nan')", r"diverged: val_loss became nan"),
    "infinite metric": failed("self.validate = float('inf')", r"diverged: val_loss became inf"),
    "metric beyond float32": failed("self.validate = 1e308", r"diverged: val_loss became inf"),
    "grandchild": Fault("start(1)"),
    "20 grandchildren": Fault("start(20)"),
    "twin": Fault(TWIN),
    "deadlocked loader": late("next(iter(torch.utils.data.DataLoader(Deadlock(), num_workers=2)))"),
}
FAULTY = (
    STUBBORN
    + '''
import ctypes, subprocess, tempfile, threading, warnings
import own

def start(number):
    for _ in range(number):
        note(subprocess.Popen(SLEEP).pid)

class Faulty(own.Own):
    """Does what it is told to.

    Args:
        fault: what.
    """

    def __init__(self, fault: str = ""):
        super().__init__()
        self.fault, self.loss, self.validate = fault, 1.0, 1.0

    def on_train_start(self):
        note(os.getpid())

    def training_step(self, batch, index):
        if index == 1:
            self.go_wrong()
        return super().training_step(batch, index) * self.loss

    def validation_step(self, batch, index):
        if self.validate == "raise":
            raise RuntimeError("in validation")
        x, y = batch
        self.log("val_loss", torch.nn.functional.mse_loss(self(x), y) * self.validate)

    def go_wrong(self):
        match self.fault:
'''
)


def module() -> str:
    cases = (
        f"case {name!r}:\n" + textwrap.indent(fault.code, "    ") for name, fault in FAULTS.items()
    )
    return FAULTY + textwrap.indent("\n".join(cases), " " * 12) + "\n"


@pytest.fixture
def training(own: Path) -> Job:
    (own / "faulty.py").write_text(module())
    (own / "started").mkdir()
    config = Target.resolve("own.Own").configure({"trainer.max_epochs": 1})
    return StudyConfig("faulty.Faulty", config=config, objectives=["val_loss:min"]).job(None)


def run(training: Job, faults: list[str]) -> tuple[dict[int, Result], float]:
    """Run each fault and a training without one after it, two at a time.

    Return the results, and the longest time that any took.
    """
    jobs = [
        replace(training, config={**training.config, "task": {"fault": one}})
        for fault in faults
        for one in (fault, "")
    ]
    waiting = deque(enumerate(jobs))
    begun: dict[int, float] = {}
    ended: dict[int, Result] = {}
    longest = 0.0
    with LocalExecutor(2, timeout=LIMIT) as executor:
        while waiting or len(ended) < len(begun):
            while waiting and len(begun) - len(ended) < 2:
                key, job = waiting.popleft()
                executor.submit(key, job)
                begun[key] = time.monotonic()
            for key, result in executor.wait(lambda *_: False):
                assert key not in ended, f"{faults[key // 2]} came back twice"
                ended[key] = result
                longest = max(longest, time.monotonic() - begun[key])
        assert executor.wait(lambda *_: False) == []
    return ended, longest


@pytest.mark.long  # the laws of executors have the commonest, in every run
def test_a_fault_is_one_failed_training_with_its_reason(training, own):
    faults = [*FAULTS]
    ended, longest = run(training, faults)
    survivors = left(
        lambda: {int(p.name) for p in (own / "started").iterdir() if lives(int(p.name))}
    )
    told = {name: ended[2 * number] for number, name in enumerate(faults)}
    wrong = {
        name: (result.state, result.reason)
        for name, result in told.items()
        if result.state != FAULTS[name].state or not re.match(FAULTS[name].reason, result.reason)
    }
    unharmed = [result.metrics for key, result in ended.items() if key % 2]
    print(
        f"faults {len(faults)}, back {len(told)}, told otherwise {len(wrong)}, started"
        f" {len(list((own / 'started').iterdir()))}, survivors {len(survivors)},"
        f" the longest {longest:.1f} s of {LIMIT:g}"
    )
    assert not wrong
    assert sorted(ended) == list(range(2 * len(faults)))
    assert all(metrics == unharmed[0] for metrics in unharmed)
    assert unharmed[0]
    assert longest < LIMIT + 5
    assert not survivors
