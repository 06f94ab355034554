"""Inputs that nobody means well with, and a process of its own that reads them under watch."""

from __future__ import annotations

import copy
import multiprocessing
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from random import Random
from typing import Any

from actsearch.errors import ActsearchError

SECONDS = 10.0
RUNS_CODE = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class")
"""What the interpreter tells of before it starts something."""

BROUGHT = "touch executed"
"""What the words below would have it start."""

WORDS = [
    "",
    " ",
    "\x00",
    "\x1b[31m",
    "\u202e",
    "\uff41",
    "rеlu",  # with a Cyrillic letter
    "nan",
    "-inf",
    "1e999",
    "0x" + "f" * 5000,
    "9" * 400,
    f"__import__('os').system('{BROUGHT}')",
    f"!!python/object/apply:os.system ['{BROUGHT}']",
    f"$({BROUGHT})",
    "{{7*7}}",
    "${HOME}",
    "../../etc/passwd",
    "/dev/zero",
    "a" * 100_000,
    "(" * 5000,
    "[" * 5000,
    "&a [*a]",
    "exp(exp(exp(x)))",
    "x" + "*x" * 300,
]
SHORT = [word for word in WORDS if len(word) < 1000]
VALUES: list[Any] = [None, True, False, -1, 0, 10**30, 1.5, 1e308, [], {}, [[]], {"": ""}, *WORDS]


def torn(text: str, rng: Random, pieces: list[str]) -> str:
    """Return a text with one to four pieces left out, doubled, moved, put in or cut off."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([1, 1, 2, 5, 40]))
        piece = rng.choice([*pieces, *SHORT, chr(rng.randrange(1, 0x2FFF))])
        match rng.randrange(6):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:end] + text[start:]
            case 2:
                text = text[:start] + piece + text[end:]
            case 3:
                text = text[:start] + piece + text[start:]
            case 4:
                text = text[:start] if rng.random() < 0.2 else text[end:] + text[:end]
            case 5:
                text = text[:start] + text[start:end] * rng.choice([2, 30, 2000]) + text[end:]
    return text


def bent(data: Any, rng: Random) -> Any:
    """Return nested data with one of its keys or values replaced, left out or doubled."""
    places = list(_places(data))
    if not places:
        return rng.choice(VALUES)
    owner, key = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0 or (kind > 1 and isinstance(owner, list)):
        owner[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 1:
        del owner[key]
    elif kind == 2:
        owner[rng.choice(WORDS)] = owner.pop(key)
    else:
        name = rng.choice(["self", "text", "like", "learn", "share", "channels", "x"])
        owner[name] = copy.deepcopy(owner[key])
    return data


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(data, (dict, list)):
        for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
            yield data, key
            yield from _places(value)


def check_all(
    make: Callable[[Random], Any],
    read: Callable[[Any], object],
    count: int,
    folder: Path,
    megabytes: int = 100,
) -> None:
    """Read made-up inputs in a process of its own, and fail with what went wrong with any.

    An input may be read or be refused by an error of ours. It must run no code, write nothing into
    the folder, take at most 10 s, and all of them together 100 MB or what is given.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_read_all, args=(theirs, make, read, count, folder, megabytes))
    child.start()
    theirs.close()
    wrong: list[str] = []
    try:
        while (found := ours.recv()) is not None:
            wrong.append(found)
    except EOFError:
        wrong.append("the process died")
    child.join()
    assert not wrong, "\n\n".join(wrong)


def _read_all(
    pipe: Any,
    make: Callable[[Random], Any],
    read: Callable[[Any], object],
    count: int,
    folder: Path,
    megabytes: int,
) -> None:
    warnings.simplefilter("ignore")
    server = vars(forkserver)["_forkserver"]  # of the process that this one was forked from
    server._forkserver_pid = server._forkserver_alive_fd = server._forkserver_address = None
    told: list[str] = []
    given: list[Any] = [None]

    def watch(event: str, details: tuple[Any, ...]) -> None:
        if given[0] is not None and event in RUNS_CODE and "executed" in repr(details):
            told.append(f"{event} {details!r:.200} in {given[0]!r:.500}")

    rng = Random(0)
    for _ in range(5):  # imports what is imported late
        with suppress(ActsearchError):
            read(make(rng))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.addaudithook(watch)
    for _ in range(count):
        one = make(rng)
        given[0] = one
        start = time.process_time()
        try:
            read(one)
        except ActsearchError as error:
            if len(str(error)) > 4000 or not str(error):
                told.append(f"a message of {len(str(error))} characters for {one!r:.500}")
        except BaseException:
            told.append(f"{traceback.format_exc(limit=-4)} for {one!r:.500}")
        given[0] = None
        if (taken := time.process_time() - start) > SECONDS:
            told.append(f"{taken:.1f} s for {one!r:.500}")
        if len(told) > 20:
            break
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if grown > megabytes:
        told.append(f"{grown:.0f} MB more")
    told += [f"{path} was written" for path in folder.iterdir()]
    for one in told:
        pipe.send(one)
    pipe.send(None)
