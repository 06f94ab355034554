"""Threads of a training: the user's number, or its share of the cores that may be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from actsearch.search.executors import threads
from actsearch.search.executors.threads import THREADS, threads_each, usable_cores


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores, and nothing said in the environment."""
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)


def groups(root: Path, lines: str, **files: str) -> Path:
    """Write the files by which Linux tells of control groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)
    for path, text in files.items():
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def quota(group: str, text: str, period: str = "100000\n") -> dict[str, str]:
    """The two files of a control group of version 1."""
    return {f"{group}/cpu.cfs_quota_us": text, f"{group}/cpu.cfs_period_us": period}


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        ("", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/a/b\n", {"a/b/cpu.max": "350000 100000\n"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n"}, 2),
        ("0::/a/b\n", {"cpu.max": "50000 100000\n"}, 1),
        ("4:memory:/m\n3:cpu,cpuacct:/d\n0::/\n", quota("cpu,cpuacct/d", "400000\n"), 4),
        ("1:cpu:/host/path\n", quota("cpu", "200000\n"), 2),
        ("1:cpu:/\n", quota("cpu", "-1\n"), 8),
        ("1:cpu:/\n", quota("cpu", "nonsense", period="0"), 8),
    ],
)  # fmt: skip
def test_quota_of_control_groups(lines, files, expected, tmp_path):
    assert usable_cores(groups(tmp_path, lines, **files)) == expected


@pytest.mark.usefixtures("cores")
def test_without_control_groups(tmp_path, monkeypatch):
    assert usable_cores(tmp_path) == 8
    monkeypatch.delattr(threads.os, "sched_getaffinity")
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 6)
    assert usable_cores(tmp_path) == 6


@pytest.mark.usefixtures("cores")
def test_share_of_the_cores(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 8)
    assert [threads_each(jobs) for jobs in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    assert threads_each(2, wanted=1) == 1


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"MKL_NUM_THREADS": "6"}, 6),
        ({"OMP_NUM_THREADS": "4,2", "OPENBLAS_NUM_THREADS": "7"}, 4),
        ({"OMP_NUM_THREADS": "many", "OPENBLAS_NUM_THREADS": "7"}, 7),
        ({"OMP_NUM_THREADS": "0"}, 3),
    ],
)
def test_the_users_number_goes_first(given, expected, monkeypatch):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert threads_each(1, wanted=3) == expected
