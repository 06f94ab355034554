"""Threads and devices of each of several trainings; the devices are pretended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from actsearch.errors import InvalidValueError
from actsearch.search.executors import resources
from actsearch.search.executors.local import LocalExecutor
from actsearch.search.executors.resources import (
    VISIBLE,
    Devices,
    Resources,
    parse_listing,
    visible_devices,
)
from actsearch.search.executors.threads import THREADS
from actsearch.search.study.config import StudyConfig
from actsearch.search.training.job import Job
from actsearch.search.training.target import Target

SEES = """
import os, time
import own

class Sees(own.Own):
    def __init__(self, mark: str = ""):
        super().__init__()
        self.mark = mark

    def on_train_start(self):
        with open(self.mark, "w") as file:
            file.write(f"{os.environ.get('CUDA_VISIBLE_DEVICES')}|{os.environ['OMP_NUM_THREADS']}")
        while not os.path.exists("go"):
            time.sleep(0.02)
"""


def asking(**trainer: object) -> Job:
    return Job("own.Own", {"trainer": trainer}, ["val_loss"])


def taken(devices: Devices, *jobs: Job) -> list[str | None]:
    return [devices.take(key, job) for key, job in enumerate(jobs)]


def test_each_gets_one_of_its_own_and_shares_the_least_used():
    devices = Devices(Resources(), ["0", "1", "2"])
    one = asking(devices=1)
    assert taken(devices, one, one, one, one) == ["0", "1", "2", "0"]
    devices.give_back(1)
    assert devices.take(9, one) == "1", "an idle device goes before one that has room"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"devices": 2}, "0,1"),
        ({"devices": "2"}, "0,1"),
        ({"devices": [0, 3]}, "0,1"),
        ({"devices": "auto"}, "0,1,2,3"),
        ({"devices": -1}, "0,1,2,3"),
        ({}, "0"),
        ({"devices": 1, "accelerator": "cpu"}, None),
    ],
)
def test_a_trainer_gets_as_many_as_it_asks_for(asked, expected):
    assert Devices(Resources(), ["0", "1", "2", "3"]).take(0, asking(**asked)) == expected


def test_where_there_are_none_nothing_is_said():
    assert Devices(Resources(), []).take(0, asking(devices=1)) is None


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        (0.5, ["a", "b", "a", "b"]),
        (2, ["a,b", "a,b", "a,b", "a,b"]),
        (0, ["", "", "", ""]),
    ],
)
def test_the_users_share_goes_first(gpus, expected):
    assert taken(Devices(Resources(gpus=gpus), ["a", "b"]), *[asking(devices=1)] * 4) == expected


@pytest.mark.parametrize(
    ("gpus", "jobs", "room"), [(0.5, 5, 4), (2, 2, 1), (1 / 3, 7, 6), (0.4, 5, 4), (3, 1, 1)]
)
def test_too_few_devices_are_told_with_the_way_out(gpus, jobs, room):
    devices = Devices(Resources(gpus=gpus), ["0", "1"])
    with pytest.raises(InvalidValueError, match=rf"it has 2. Choose --jobs {room},"):
        devices.check(jobs)
    if gpus <= 2:
        devices.check(room)


@pytest.mark.parametrize("gpus", [-1, 1.5, float("nan"), float("inf")])
def test_a_share_that_divides_nothing(gpus):
    with pytest.raises(InvalidValueError, match="gpus-per-trial must be a whole number"):
        Resources(gpus=gpus)


def test_no_thread_at_all():
    with pytest.raises(InvalidValueError, match="cpus-per-trial must be at least 1, but got 0"):
        Resources(cpus=0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0,1", ["0", "1"]),
        ("3", ["3"]),
        (" GPU-ab , MIG-cd", ["GPU-ab", "MIG-cd"]),
        ("", []),
        ("-1", []),
        ("1,-1,2", ["1"]),
    ],
)
def test_what_the_environment_names_is_all_there_is(given, expected, monkeypatch):
    monkeypatch.setenv(VISIBLE, given)
    assert visible_devices() == expected


def test_without_a_driver_torch_is_asked(monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(resources.shutil, "which", lambda _: None)
    assert visible_devices() == [str(i) for i in range(torch.cuda.device_count())]


def test_instances_of_a_divided_device_are_devices(tmp_path, monkeypatch):
    listing = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa)
  MIG 1g.5gb      Device  0: (UUID: MIG-1111)
  MIG 1g.5gb      Device  1: (UUID: MIG-2222)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)
"""
    assert parse_listing(listing) == ["MIG-1111", "MIG-2222", "GPU-bbbb"]
    driver = tmp_path / "nvidia-smi"
    driver.write_text(f'#!/bin/sh\ncat <<"END"\n{listing}END\n')
    driver.chmod(0o700)
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert visible_devices() == ["MIG-1111", "MIG-2222", "GPU-bbbb"]
    driver.write_text("#!/bin/sh\nexit 9\n")
    assert visible_devices() == [str(i) for i in range(torch.cuda.device_count())]


@pytest.mark.parametrize(
    ("given", "how", "expected"),
    [
        (None, Resources(cpus=3), {"None|3"}),
        ("4,7", Resources(), {"4|1", "7|1"}),
        ("4,7", Resources(gpus=0.5, cpus=2), {"4|2", "7|2"}),
    ],
)
def test_what_each_training_sees(own: Path, given, how, expected, monkeypatch):
    (own / "sees.py").write_text(SEES)
    if given is None:
        monkeypatch.delenv(VISIBLE, raising=False)
    else:
        monkeypatch.setenv(VISIBLE, given)
    for name in THREADS:
        monkeypatch.setenv(name, "1")
    seen = []
    with LocalExecutor(2, resources=how) as executor:
        for key in range(2):
            mark = own / f"seen-{key}"
            config = Target.resolve("sees.Sees").configure({"trainer.max_epochs": 1})
            config = {**config, "task": {"mark": str(mark)}}
            study = StudyConfig("sees.Sees", config=config, objectives=["val_loss:min"])
            executor.submit(key, study.job(None))
            seen.append(mark)
        while not all(mark.exists() and mark.read_text() for mark in seen):
            assert executor.wait(lambda *_: False) == []
    assert {mark.read_text() for mark in seen} == expected


def test_the_server_leaves_cuda_alone():
    """A process that has started it cannot hand it on to those it forks."""
    script = """
import torch
asked = []
torch.cuda._lazy_init = lambda: asked.append("init")
import actsearch.search.executors.preload
assert not asked, asked
assert not torch.cuda.is_initialized()
"""
    subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTORCH_NVML_BASED_CUDA_CHECK": "1", "PATH": "/usr/bin:/bin"},
        check=True,
        timeout=120,
    )
