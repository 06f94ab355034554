"""Signals at random moments, as a terminal, a scheduler and an impatient user send them.

The command ends with the signal's code or has said all it had to say; it goes on where it stood.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from optuna.trial import TrialState

from .remains import LINUX
from .searches import PATIENCE, Search

SEARCHES = {
    "random": "--sampler random --learning-rate fixed --confirm 0",
    "function_space": "--confirm 0",
    "two at a time": "--sampler random --learning-rate fixed --pruner none --confirm 0 --jobs 2",
    "confirmed": "--sampler random --learning-rate fixed --confirm 2 --seeds 4",
}
SIGNALS = {
    "Ctrl-C": (os.killpg, [signal.SIGINT], 130),
    "Ctrl-C twice": (os.killpg, [signal.SIGINT] * 2, 130),
    "interrupt": (os.kill, [signal.SIGINT], 130),
    "terminate": (os.kill, [signal.SIGTERM], 143),
    "terminate all": (os.killpg, [signal.SIGTERM], 143),
    "hang up": (os.killpg, [signal.SIGHUP], 129),
}
SAID = "actsearch ui"
"""In the last line of a search."""


def catches(process: subprocess.Popen[str]) -> bool:
    """Whether the command itself has begun, and not only Python."""
    status = Path(f"/proc/{process.pid}/status").read_text().split()
    return bool(int(status[status.index("SigCgt:") + 1], 16) >> (signal.SIGTERM - 1) & 1)


def stopped(search: Search, how: str, after: float) -> tuple[int, str, str, float]:
    """Start a search, send it signals, and return code, output, errors and the time it took."""
    send, signals, _ = SIGNALS[how]
    process = search.start()
    while process.poll() is None and not catches(process):
        time.sleep(0.01)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        for number in signals:
            send(process.pid, number)
            time.sleep(0.1)  # two at once are one to the system
    sent = time.monotonic()
    output, errors = process.communicate(timeout=PATIENCE)
    code = process.returncode
    return 128 - code if code < 0 else code, output, errors, time.monotonic() - sent


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(not LINUX, reason="reads /proc")
@pytest.mark.parametrize("name", SEARCHES)
def test_a_signal_ends_it_with_its_code_and_it_goes_on_where_it_stood(name, own):
    options = f"{SEARCHES[name]} --trainer.max_epochs 2 --task.pause 0.02"
    straight, search = (Search(own, store, options, 12) for store in ("straight", "stopped"))
    longest = straight.finish()
    choose = random.Random(name)
    codes, slowest, wrong = [], 0.0, []
    for how in choose.sample([*SIGNALS], len(SIGNALS)):
        after = choose.uniform(0, longest)
        code, output, errors, took = stopped(search, how, after)
        codes.append(code)
        slowest, survivors = max(slowest, took), search.survivors()
        ended = code == SIGNALS[how][2] or (code == 0 and SAID in output.splitlines()[-1])
        if not ended or "Traceback" in errors or survivors:
            wrong.append((how, after, code, output[-200:], errors[-2000:], survivors))
    search.finish()
    found, same = search.wrong(), search.outcome() == straight.outcome()
    print(
        f"\n{name}: signals {len(codes)}, codes {dict(sorted(Counter(codes).items()))}, ended in"
        f" at most {slowest:.1f} s, otherwise {len(wrong)},"
        f" {', '.join(f'{what} {number}' for what, number in found.items())},"
        f" {'equal to' if same else 'other than'} the straight one"
    )
    assert not wrong
    assert not any(found.values())
    assert same


@pytest.mark.long
def test_terminated_in_its_trials_it_says_how_to_go_on(own):
    search = Search(own, "stopped", "--confirm 0 --trainer.max_epochs 2 --task.pause 0.03", 6)
    process = search.start()
    while search.ended() < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, errors
    assert "Go on with the same command: actsearch search own.Own" in errors
    assert "Traceback" not in errors
    assert all(trial.state != TrialState.RUNNING for trial in search.trials_now())
