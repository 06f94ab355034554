"""MLflow's pages: on loopback, for this machine alone."""

from __future__ import annotations

import functools
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

SEARCH = [
    "search",
    "own.Own",
    "--space",
    "space.yaml",
    "--trials",
    2,
    "--confirm",
    0,
    "--store",
    "store",
    "--trainer.max_epochs",
    1,
]

HARD = (signal.SIGKILL, signal.SIGHUP)
"""What a command is given no time to tidy up after."""


def answer(url: str, host: str | None = None) -> int:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


@pytest.mark.parametrize(
    "end", [signal.SIGINT, *(pytest.param(n, marks=pytest.mark.long) for n in HARD)]
)
def test_pages_answer_this_machine_alone(own, actsearch, end):
    result = actsearch(*SEARCH)
    assert result.returncode == 0, result.stderr
    runs = (
        "/#/experiments/1/runs?workflowType=machine_learning&searchFilter=tags.%60actsearch.study"
    )
    assert (
        f"actsearch ui Own-space --store store    then http://127.0.0.1:5000{runs}"
        in (result.stdout.splitlines()[-1])
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).parent / "actsearch"),
        "ui",
        "--store",
        "store",
        "--port",
        str(port),
    ]
    # It is ignored where the tests run in the background.
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command,
        cwd=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=heard,
    ) as process:
        try:
            assert process.stdout is not None
            assert f"http://127.0.0.1:{port}" in process.stdout.readline()
            link = f"Own-space: http://127.0.0.1:{port}{runs}"
            assert any(line.startswith(link) for line in process.stdout)
            deadline = time.monotonic() + 120
            while (
                status := answer(f"http://127.0.0.1:{port}/health")
            ) != 200 and time.monotonic() < deadline:
                time.sleep(0.5)
            assert status == 200
            assert (
                answer(
                    f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=1",
                    "10.evil.example",
                )
                == 403
            )
            assert answer(f"http://127.0.0.1:{port}/") == 200
            second = actsearch("ui", "--store", "store", "--port", port)
            assert second.returncode == 2
            assert f"must be free and from 1 to 65535, but at 127.0.0.1:{port}" in second.stderr
        finally:
            process.send_signal(end)
            assert process.wait(timeout=30) == (0 if end == signal.SIGINT else -end)
    deadline = time.monotonic() + 30
    while answer(f"http://127.0.0.1:{port}/health") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not answer(f"http://127.0.0.1:{port}/health"), "its pages ended with it"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "host must be this machine's loopback"),
        (["--store", "nothing"], "must be a store of studies, but holds none"),
    ],
)
def test_refused(arguments, message, actsearch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = actsearch("ui", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
