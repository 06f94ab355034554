"""Searches that share a record in PostgreSQL: servers restart, owners die or freeze, on any host.

Whatever happens, the study comes to what it comes to in SQLite, undisturbed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from actsearch.errors import StudyError
from actsearch.search.study.store import Store

from ..postgresql import PASSWORD, QUOTED
from ..tcp_proxy import TcpProxy
from .searches import PATIENCE, Search

EASY = "--sampler random --learning-rate fixed --pruner none --trainer.max_epochs 2"
SLOW = f"{EASY} --task.pause 0.03"
HASTY = (("ACTSEARCH_HEARTBEAT", "2"),)
SILENCE = 6 * 2
"""Seconds without a beat after which such an owner is followed."""


def lines_of(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=PATIENCE)[1]


def wait_for(search: Search, trials: int, process: subprocess.Popen[str]) -> None:
    while search.ended() < trials:
        assert process.poll() is None, lines_of(process)
        time.sleep(0.05)


def secrets_in(folder: Path, told: list[str]) -> list[object]:
    """Return where the password is found."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert folder / "store" / "mlflow.db" in files
    found: list[object] = []
    for secret in (PASSWORD, QUOTED):
        found += [path for path in files if secret.encode() in path.read_bytes()]
        found += [text for text in told if secret in text]
    return found


def test_a_search_here_leaves_its_password_nowhere(own, actsearch, record):
    place = ["--store", "store", "--record", record]
    options = f"{EASY} --space rectifiers --study s --trials 2 --confirm 0 --executor inline"
    ended = actsearch("search", "own.Own", *options.split(), *place)
    assert ended.returncode == 0, ended.stderr
    shown, listed = actsearch("show", "s", *place), actsearch("studies", "--json", *place)
    assert "--record postgresql+psycopg://keeper@127.0.0.1" in shown.stdout
    assert '"state": "finished"' in listed.stdout
    assert not (own / "store" / "optuna.db").exists()
    assert not secrets_in(own, [*map(repr, (ended, shown, listed))])


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_password_is_found_nowhere_and_every_command_takes_the_record(
    own, actsearch, postgresql, record
):
    search = Search(own, "store", f"{EASY} --confirm 1 --seeds 2", 3, record=record)
    process = search.start()
    wait_for(search, 1, process)
    os.kill(process.pid, signal.SIGINT)
    told = [*process.communicate(timeout=PATIENCE)]
    assert "stopped. Go on with the same command" in told[1]
    process = search.start()
    told += process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told
    place = ["--store", "store", "--record", record]
    commands = {
        "show s": "no trial|baseline",
        "show s --json": '"verdict"',
        "show": "confirmed",
        "studies --json": '"state": "confirmed"',
        "best s --output best.json": "best.json: 2 sites",
        "export s --to csv": r"s.csv: \d+ trials",
        "sync s": "trials of s were brought over",
        "confirm s --top 1 --seeds 3": "confirm",
        "measure s parameters": "parameters",
        "rename s t": "s is t now",
        "show t": "confirmation",
        "search own.Own --trials 2 --dry-run": "Nothing was written",
        "doctor": r"record +postgresql\+psycopg://keeper@.*: PostgreSQL \d+",
        "delete t --yes": "t: deleted from postgresql",
    }
    for line, expected in commands.items():
        if line == "delete t --yes":
            database = record.rpartition("/")[2]
            attributes = postgresql.execute("SELECT * FROM study_user_attributes", database)
            assert len(attributes) > 5
            told.append(repr(attributes))
        ended = actsearch(*line.split(), *place)
        assert ended.returncode == 0, (line, ended.stderr)
        assert re.search(expected, ended.stdout), (line, ended.stdout)
        told += [ended.stdout, ended.stderr]
    ended = actsearch("show", "t", *place)
    assert "unknown study 't'" in ended.stderr
    assert not (own / "store" / "optuna.db").exists()
    assert not secrets_in(own, told)


@pytest.fixture(scope="module")
def straight(made_once) -> Search:
    """The search that the others are compared with, in SQLite and undisturbed."""

    def search() -> None:
        Search(Path.cwd(), "straight", f"{SLOW} --confirm 1 --seeds 2", 8).finish()

    return Search(made_once(search), "straight", f"{SLOW} --confirm 1 --seeds 2", 8)


def shared(straight: Search, own: Path, record: str, store: str = "shared") -> Search:
    """Return the same search with a shared record and a folder of its own."""
    return replace(straight, folder=own, store=store, record=record, environment=HASTY)


def check(search: Search, straight: Search, what: str) -> None:
    """Count what is lost and doubled, and compare with the straight search."""
    there = {t.number: (t.params, t.values) for t in search.trials_now()}
    here = {t.number: (t.params, t.values) for t in straight.trials_now()}
    numbers = Counter(t.number for t in search.trials_now())
    doubled = sum(count - 1 for count in numbers.values())
    lost = len(here.keys() - there.keys())
    other = sum(there[n] != here[n] for n in here.keys() & there.keys())
    print(
        f"\n{what}: {len(there)} trials, lost {lost}, doubled {doubled}, other values {other},"
        f" {'equal to' if search.outcome() == straight.outcome() else 'other than'} SQLite"
    )
    assert (lost, doubled, other) == (0, 0, 0)
    assert search.outcome() == straight.outcome()
    assert not search.survivors()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_server_that_restarts_in_the_middle(straight, own, postgresql, record):
    search = shared(straight, own, record)
    process = search.start()
    for trials, mode in ((1, "fast"), (3, "immediate"), (5, "fast")):
        wait_for(search, trials, process)
        postgresql.stop(mode)
        time.sleep(2)
        postgresql.start()
    told = lines_of(process)
    assert process.returncode == 0, told
    check(search, straight, "server restarted three times")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_owner_killed_on_a_host_that_vanished(straight, own, postgresql, record):
    with TcpProxy(postgresql.port) as proxy:
        through = record.replace(f":{postgresql.port}/", f":{proxy.port}/")
        first = replace(shared(straight, own, through), before=on_host("first"))
        process = first.start()
        second = replace(shared(straight, own, record, "other"), before=on_host("second"))
        wait_for(second, 3, process)
        proxy.freeze()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        before = {t.number: t.values for t in second.trials_now() if t.state.is_finished()}
        told = r"process \d+ on first since .* \(last heard of \d+ s ago\) runs it"
        with pytest.raises(StudyError, match=told), Store(own / "third", record).owned("s"):
            pass
        time.sleep(SILENCE)
        told = second_run(second)
        assert "was run elsewhere" in told
        assert f"{second.root}/studies/s lacks the weights" in told
        after = {t.number: t.values for t in second.trials_now()}
        assert before.items() <= after.items()
        print(f"\ntold before: {len(before)}, of these lost or changed: 0")
        check(second, straight, "owner killed on a host that vanished")


def second_run(search: Search) -> str:
    process = search.start()
    told = lines_of(process)
    assert process.returncode == 0, told
    return told


def on_host(name: str) -> tuple[str, ...]:
    """Return the words that run a command under another host's name, where one may."""
    words = ("unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh")
    try:
        subprocess.run([*words, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no other host name can be had here: {error}")
    return words


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_coordinator_killed_is_followed_at_once(straight, own, record):
    search = shared(straight, own, record)
    kills = 0
    for trials in (1, 3, 5):
        process = search.start()
        wait_for(search, trials, process)
        process.kill()
        process.communicate(timeout=PATIENCE)
        kills += 1
    other = replace(search, store="other")
    second_run(other)
    check(other, straight, f"{kills} coordinators killed")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_confirmation_goes_on_elsewhere(straight, own, record):
    search = shared(straight, own, record)
    process = search.start()
    confirmation = search.root / "studies" / "s" / "confirmation.json"
    while not confirmation.exists():
        assert process.poll() is None, lines_of(process)
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=PATIENCE)
    other = replace(search, store="other")
    second_run(other)
    check(other, straight, "confirmation gone on with elsewhere")
    for name in ("confirmation.json", "candidate.json", "best.json"):
        here, there = (one.root / "studies" / "s" / name for one in (search, other))
        search.trials_now()  # which brings what the record has of them
        assert here.exists() == there.exists()
        assert not here.exists() or here.read_text() == there.read_text()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_coordinator_that_was_stopped_writes_nothing_more(straight, own, record):
    first = shared(straight, own, record)
    process = first.start()
    wait_for(first, 2, process)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(SILENCE + 1)
    second = replace(first, store="other")
    follower = second.start()
    while second.ended() < 4:
        assert follower.poll() is None, lines_of(follower)
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGCONT)
    told = lines_of(process)
    assert process.returncode == 2, told
    assert f"was taken from this one, which was not heard of: process {follower.pid}" in told
    assert "Traceback" not in told
    told = lines_of(follower)
    assert follower.returncode == 0, told
    check(second, straight, "coordinator stopped and continued")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_eight_coordinators_at_the_same_time(own, postgresql):
    postgresql.execute("CREATE DATABASE eight OWNER keeper")  # without tables: they make them
    record = postgresql.url("eight")
    easy = EASY.replace("epochs 2", "epochs 1")
    here = [
        Search(own, f"here{n}", f"{easy} --confirm 0 --seed {n}", 25, f"s{n}") for n in range(8)
    ]
    there = [replace(one, store=f"there{n}", record=record) for n, one in enumerate(here)]
    began = time.monotonic()
    processes = [search.start() for search in there]
    for process in processes:
        told = lines_of(process)
        assert process.returncode == 0, told
    seconds = time.monotonic() - began
    for search in here:
        search.finish()
    trials = [trial for search in there for trial in search.trials_now()]
    same = sum(a.outcome() == b.outcome() for a, b in zip(there, here, strict=True))
    asked = sum(search.trials for search in there)
    wrong = sum((Counter(search.wrong()) for search in there), Counter())
    print(
        f"\n8 coordinators, 8 studies in one database: {len(trials)} trials of {asked} asked and"
        f" more that needed no training, in {seconds:.0f} s; studies equal to SQLite's: {same};"
        f" wrong: {dict(+wrong)}"
    )
    assert sorted(Store(own, record).names()) == [f"s{n}" for n in range(8)]
    assert same == 8
    assert not +wrong
