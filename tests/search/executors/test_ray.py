"""Trainings on Ray, on a cluster of two pretended CPUs that is started once."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from actsearch.errors import ActsearchWarning, InvalidValueError, StudyError
from actsearch.run import run_search
from actsearch.search.executors.laws import ExecutorLaws, Tiny, tiny_job
from actsearch.search.executors.local import LocalExecutor
from actsearch.search.executors.ray import RayExecutor
from actsearch.search.executors.ray_options import RayOptions
from actsearch.search.study.record import StudyRun, result_of
from actsearch.search.study.store import Store
from actsearch.search.training.given import give
from actsearch.search.training.job import WEIGHTS, Job, Result
from actsearch.search.training.target import Target

ACTSEARCH = str(Path(sys.executable).parent / "actsearch")
SEARCH = ("search", "own.Own", "--space", "rectifiers", "--store", "store")


class TestRayExecutor(ExecutorLaws):
    @pytest.fixture
    def executor(self, cluster):
        return RayExecutor(jobs=2)


def ended_on_ray(job: Job, **options: object) -> Result:
    with RayExecutor(**options) as executor:
        executor.submit(0, job)
        while not (ended := executor.wait(lambda *_: False)):
            pass
    return ended[0][1]


def comparable(result: Result) -> Result:
    """A result without what a clock says."""
    return replace(result, seconds=0.0, cpu=0.0)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.long
@pytest.mark.usefixtures("cluster")
def test_a_search_comes_to_the_numbers_and_files_of_one_machine(own):
    options = {"trials": 4, "confirm": 1, "seeds": 2, "store": own / "store"}
    options["config"] = {"trainer.max_epochs": 2}
    for executor in ("local", "ray"):
        run_search("own.Own", "rectifiers", executor=executor, study=executor, **options)
    runs = [StudyRun.load(Store(own / "store"), name) for name in ("local", "ray")]
    local, ray = (
        [
            (
                *(t.number, t.state, t.params, t.values, t.intermediate_values),
                comparable(result_of(t)),
            )
            for t in run.trials
        ]
        for run in runs
    )
    assert ray == local
    weights, others = (
        {name: content for name, content in files(run.folder).items() if name.endswith(WEIGHTS)}
        for run in runs
    )
    assert weights == others
    assert weights
    logs = [{name for name in files(run.folder) if name.endswith((".txt", ".log"))} for run in runs]
    assert logs[0] == logs[1]


@pytest.mark.long
@pytest.mark.usefixtures("cluster")
def test_a_training_on_two_devices_comes_to_the_numbers_of_one_machine(own):
    trainer = {"max_epochs": 2, "accelerator": "cpu", "devices": 2, "strategy": "ddp"}
    config = Target.resolve("own.Own").configure({f"trainer.{k}": v for k, v in trainer.items()})
    job = Job("own.Own", config, ["val_loss"])
    with LocalExecutor() as executor:
        executor.submit(0, job)
        while not (ended := executor.wait(lambda *_: False)):
            pass
    result = ended_on_ray(job)
    assert result.state == "complete", result.reason
    assert len(result.first_steps.losses) == 4, "each rank has half of the batches"
    assert comparable(result) == comparable(ended[0][1])


LOUD = """
import own

class Loud(own.Own):
    def on_train_start(self):
        print("so far")
        raise RuntimeError("no further")
"""


@pytest.mark.usefixtures("cluster")
def test_what_a_failed_training_printed_comes_back(own):
    (own / "loud.py").write_text(LOUD)
    config = Target.resolve("loud.Loud").configure({"trainer.max_epochs": 1})
    job = Job("loud.Loud", config, ["val_loss"], log=str(own / "deep" / "log.txt"))
    assert ended_on_ray(job).reason.startswith("error: RuntimeError: no further (")
    assert "so far" in (own / "deep" / "log.txt").read_text()
    assert [path.name for path in (own / "deep").iterdir()] == ["log.txt"]


@pytest.mark.long
def test_an_address_that_nobody_answers_is_one_line(own):
    begin = time.monotonic()
    ended = subprocess.run(
        [ACTSEARCH, *SEARCH, "--executor", "ray", "--ray-address", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert time.monotonic() - begin < 15
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "actsearch: ray-address must be a Ray cluster that answers, but got '127.0.0.1:1': "
    )
    assert ended.stderr.count("\n") == 1
    assert not (own / "store" / "optuna.db").exists()


@pytest.mark.usefixtures("cluster")
def test_what_rays_own_init_has_decided_cannot_be_said_again(tmp_path):
    (tmp_path / "env.yaml").write_text("working_dir: .")
    for options in (
        RayOptions(address="127.0.0.1:6379"),
        RayOptions(runtime_env=str(tmp_path / "env.yaml")),
    ):
        with pytest.raises(InvalidValueError, match=r"Give them to ray.init\(\)\."):
            RayExecutor(options=options).__enter__()


@pytest.mark.usefixtures("cluster")
def test_a_class_of_a_notebook_travels_by_value():
    class Mine(Tiny):
        pass

    Mine.__module__ = "__main__"
    assert ended_on_ray(replace(tiny_job(), task=give(Mine))).state == "complete"


@pytest.mark.usefixtures("cluster")
def test_a_node_that_cannot_run_trainings_ends_the_search_in_one_line():
    rule = "every node of the Ray cluster must run a training, but: TypeError: "
    with pytest.raises(StudyError, match=rule) as told:
        ended_on_ray(tiny_job(), timeout="soon")
    assert "\n" not in str(told.value)


BROUGHT = """
from actsearch.search.executors.local import LocalExecutor
from actsearch.search.executors.ray import RayExecutor
from actsearch.search.executors.ray_options import RayOptions
from actsearch.search.training.given import give
from actsearch.search.training.job import Job
from pathlib import Path
with RayExecutor(options=RayOptions(runtime_env="../env.yaml")) as executor:
    executor.submit(0, Job.loads(Path("job.json").read_text()))
    while not (ended := executor.wait(lambda *_: False)):
        pass
print(ended[0][1].state, ended[0][1].reason)
"""


@pytest.mark.long
def test_a_runtime_environment_brings_the_code(own):
    for folder in ("code", "elsewhere"):
        (own / folder).mkdir()
    (own / "own.py").rename(own / "code" / "brought.py")
    (own / "env.yaml").write_text("working_dir: code\n")
    job = Job("brought.Own", tiny_job().config | {"task": {}}, ["val_loss"], threads=1)
    (own / "elsewhere" / "job.json").write_text(job.dumps())
    ended = subprocess.run(
        [sys.executable, "-c", BROUGHT],
        cwd=own / "elsewhere",
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ended.stdout.split() == ["complete"], ended.stdout + ended.stderr


@pytest.mark.usefixtures("cluster")
def test_what_no_node_has_is_waited_for_and_told():
    options = RayOptions(resources='{"spot": 1}')
    with RayExecutor(options=options) as executor:
        with pytest.warns(ActsearchWarning, match=r"needs \(CPU \d, spot 1\): it waits"):
            executor.submit(0, tiny_job())
        assert executor.wait(lambda *_: False) == []


def test_options_of_ray_need_ray(own, actsearch):
    ended = actsearch(*SEARCH, "--ray-resources", '{"spot": 1}')
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "--ray-... must come with executor 'ray', but got 'local'" in ended.stderr
