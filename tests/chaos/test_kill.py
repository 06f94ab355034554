"""kill -9 on the coordinator, again and again.

Nothing told is lost, nothing is left running, the total is exact.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest

from .searches import PATIENCE, Search

EASY = (
    "--sampler random --learning-rate fixed --pruner none --confirm 0"
    " --trainer.max_epochs 2 --task.pause 0.03"
)
COMMON = "--trainer.max_epochs 2 --task.pause 0.02"
SEARCHES = {
    "random": "--sampler random --learning-rate fixed --confirm 0",
    "tpe": "--sampler tpe --confirm 0",
    "function_space": "--confirm 0",
    "function_space, rate searched": "--learning-rate searched --confirm 0",
    "tpe, by layers": "--sampler tpe --granularity layer --pruner asha --confirm 0",
    "one seed each": "--sampler tpe --seeds-per-trial 1 --pruner hyperband --confirm 0",
    "confirmed": "--sampler tpe --confirm 2 --seeds 4",
    "two at a time": "--jobs 2 --pruner none --confirm 0",
}
KILLS = 8


def test_killed_once_and_resumed_equals_straight(own, actsearch):
    straight, killed = (Search(own, store, EASY, 6) for store in ("straight", "killed"))
    assert actsearch(*straight.arguments).returncode == 0
    process = killed.start()
    while killed.ended() < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=PATIENCE)
    told = killed.told()
    assert told
    killed.finish()
    assert told.items() <= killed.told().items()
    assert not {what: number for what, number in killed.wrong().items() if number}
    assert killed.outcome() == straight.outcome()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SEARCHES)
def test_killed_again_and_again_equals_straight(name, own):
    straight, killed = (
        Search(own, store, f"{SEARCHES[name]} {COMMON}", 12) for store in ("straight", "killed")
    )
    longest = straight.finish()
    choose = random.Random(name)
    kills = changed = 0
    told = {}
    while kills < KILLS:
        process, begin = killed.start(), time.monotonic()
        try:
            process.communicate(timeout=choose.uniform(0, 0.9 * longest))
            longest = time.monotonic() - begin  # what is left takes no longer
        except subprocess.TimeoutExpired:
            whom = choose.choice([os.kill, os.killpg])
            whom(process.pid, signal.SIGKILL)
            process.communicate(timeout=PATIENCE)
            kills += 1
        now = killed.told()
        changed += sum(now.get(number) != end for number, end in told.items())
        told = now
    killed.finish()
    changed += sum(killed.told().get(number) != end for number, end in told.items())
    wrong, same = killed.wrong(), killed.outcome() == straight.outcome()
    print(
        f"\n{name}: kills {kills}, told before the last start {len(told)}, lost or changed"
        f" {changed}, {', '.join(f'{what} {number}' for what, number in wrong.items())},"
        f" {'equal to' if same else 'other than'} the straight one"
    )
    assert changed == 0
    assert not any(wrong.values())
    # Of two at a time, which ends first decides what the next one is told.
    assert same or "--jobs" in SEARCHES[name]
