"""What MLflow shows of a study: every run can be told from the others, and where it comes from."""

from __future__ import annotations

import getpass
import json
import shutil
from importlib.metadata import version

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from actsearch import Placement
from actsearch.errors import PlacementError
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store
from actsearch.tracking.artifacts import BesideDatabase
from actsearch.tracking.replica import Replica

ASKED = {"trials": 12, "jobs": 1, "confirm": 2, "seeds": 3, "time": None}


def brought(run, asked=ASKED):
    """Mirror a study that has ended, as the end of its search does."""
    replica = Replica(run, asked)
    replica.connect()
    replica.close("FINISHED")
    return replica


def runs(replica, kind):
    """Return the runs of a kind as a new process finds them."""
    client = MlflowClient(f"sqlite:///{replica.run.store.root / 'mlflow.db'}")
    where = f"tags.`actsearch.kind` = '{kind}'"
    return client.search_runs([replica.experiment], where, max_results=1000)


@pytest.fixture(scope="module")
def replica(searched_once, tmp_path_factory):
    """A study that MLflow has all of."""
    root = tmp_path_factory.mktemp("brought") / "store"
    shutil.copytree(searched_once, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["/env/bin/actsearch", "search", "own.Own", "--trials", "12"])
        return brought(StudyRun.load(Store(root), "s"))


def test_a_run_tells_who_ran_it_with_what_and_on_which_data(replica):
    (parent,) = runs(replica, "study")
    (first, *_) = runs(replica, "trial")
    for run in (parent, first):
        tags = run.data.tags
        assert tags["mlflow.user"] == getpass.getuser()
        assert tags["mlflow.source.name"] == "/env/bin/actsearch"
        assert len(tags["mlflow.source.git.commit"]) == 40
        assert tags["actsearch.command"] == "actsearch search own.Own --trials 12"
        assert f"torch {version('torch')}, " in tags["actsearch.versions"]
        (data,) = run.inputs.dataset_inputs
        assert data.dataset.name == "own.Own"
        source = json.loads(data.dataset.source)["tags"]
        assert source == {"class": "own.Own", "task.width": "8", "task.lr": "0.01"}
    experiment = replica.client.get_experiment(replica.experiment)
    assert "searched in `own.Own` by actsearch" in experiment.tags["mlflow.note.content"]


def test_a_study_tells_its_options_and_its_result(replica):
    (parent,) = runs(replica, "study")
    told = {
        "objective": "val_loss",
        "direction": "minimize",
        "sampler": "random",
        "pruner": "none",
        "fidelity": "epochs",
        "learning_rate": "tuned",
        "trials": "12",
        "confirm": "2",
        "seeds": "3",
        "task.width": "8",
        "trainer.max_epochs": "2",
    }
    assert told.items() <= parent.data.params.items()
    result = Confirmation.read(replica.run)
    c = result.winner[1]
    figures = {"gain": c.gain, "low": c.low, "high": c.high, "p": c.p}
    for name, value in figures.items():
        assert parent.data.metrics[f"confirmed.{name}"] == pytest.approx(value)
    assert parent.data.tags["actsearch.verdict"] == result.outcome == "better"
    assert parent.data.tags["actsearch.confirmation"] == result.verdict()


def test_trials_and_baselines_are_told_apart(replica):
    baselines = {run.info.run_name for run in runs(replica, "baseline")}
    assert "baseline" in baselines
    assert "baseline, learning rate × 3" in baselines
    assert len(baselines) == len(runs(replica, "baseline"))
    for run in runs(replica, "trial"):
        trial = replica.run.trials[int(run.data.tags["actsearch.trial"])]
        assert run.info.run_name == f"trial {trial.number}", "the number that the tables show"
        factor = replica.run.factor(trial)
        assert float(run.data.params["learning_rate_factor"]) == factor
        assert float(run.data.params["learning_rate"]) == pytest.approx(0.01 * factor)
        assert run.data.params["task.width"] == "8"
        assert trial.params.items() <= run.data.params.items()
        assert not [tag for tag in run.data.tags if tag.startswith("actsearch.site")]
        assert run.data.tags["actsearch.placement"]


def test_each_training_of_a_confirmation_is_a_run(replica):
    result = Confirmation.read(replica.run)
    found = {
        f"{run.data.tags['actsearch.arm']}:{run.data.tags['actsearch.seed']}": run
        for run in runs(replica, "confirm")
    }
    assert {key: run.data.metrics["test_loss"] for key, run in found.items()} == result.scores
    assert len(runs(replica, "confirm")) == len(result.scores)
    assert {arm.partition(":")[0] for arm in found} >= {"0", "untouched", str(result.winner[0])}
    winner = found[f"{result.winner[0]}:{result.seeds[0]}"]
    assert winner.info.run_name.startswith(f"confirm trial {result.winner[0]}")
    assert winner.info.run_name.endswith(f", seed {result.seeds[0]}")
    assert winner.data.params["seed"] == str(result.seeds[0])
    assert winner.info.status == "FINISHED"
    assert winner.data.tags["mlflow.parentRunId"] == replica.parent


@pytest.mark.parametrize(
    "call",
    ["create_run", *(pytest.param(n, marks=pytest.mark.long) for n in ("log_batch", "set_tag"))],
)
def test_nothing_is_doubled_when_a_call_fails_or_its_answer_is_lost(searched, monkeypatch, call):
    run = searched
    whole, count = getattr(MlflowClient, call), iter(range(1000))

    def answer_lost(*arguments, **options):
        result = whole(*arguments, **options)
        if next(count) % 9 == 8:
            raise ConnectionError("the answer is lost")
        return result

    replica = Replica(run, ASKED)
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, call, answer_lost)
        for _ in range(30):
            try:
                replica.connect()
                replica.close("FINISHED")
                break
            except ConnectionError:
                replica.forget()
    again = brought(run)
    assert again.missing() == 0
    trainings = [r for kind in ("baseline", "trial", "confirm") for r in runs(again, kind)]
    assert len(trainings) == len(run.trials) + len(Confirmation.read(run).scores)
    assert {r.info.status for r in trainings} == {"FINISHED"}
    assert {r.data.tags["actsearch.state"] for r in trainings} == {"complete"}


@pytest.fixture
def copied(replica, tmp_path):
    """A store that lies elsewhere now, with all that MLflow has of it."""
    shutil.copytree(replica.run.store.root, tmp_path / "mlruns")
    _artifact_repos_cache.clear()  # as in a new process
    return StudyRun.load(Store(tmp_path / "mlruns"), "s")


def test_a_complete_copy_is_not_read_again(copied, monkeypatch):
    asked = []
    search = MlflowClient.search_runs

    def seen(self, experiments, filter_string="", **options):
        asked.append(filter_string)
        return search(self, experiments, filter_string, **options)

    monkeypatch.setattr(MlflowClient, "search_runs", seen)
    replica = brought(copied)
    assert len(asked) == 1
    assert "actsearch.identity" in asked[0], "the study's own run alone"
    replica.begin(3, None, 0)
    assert len(runs(replica, "trial")) + len(runs(replica, "baseline")) == len(copied.trials)


def test_artifacts_survive_a_move_of_the_folder(copied, tmp_path, monkeypatch):
    moved = brought(copied)
    (first, *_) = runs(moved, "trial")
    uri = f"runs:/{first.info.run_id}/placement.json"
    monkeypatch.chdir(tmp_path)
    assert set(Placement.load(uri).sites) == {"net.1", "net.3"}
    files = [file.path for file in moved.client.list_artifacts(moved.parent)]
    assert "best.json" in files
    shutil.rmtree("mlruns/artifacts")
    _artifact_repos_cache.clear()
    with pytest.raises(PlacementError, match="cannot be read from MLflow"):  # nor where it was
        Placement.load(uri)


def test_artifacts_stay_inside_of_the_store(tmp_path):
    database = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(MlflowException, match="must be inside of"):
        BesideDatabase("actsearch:/artifacts/../../secret", database)
    with pytest.raises(MlflowException, match="must be beside an SQLite database"):
        BesideDatabase("actsearch:/artifacts", "http://127.0.0.1:9")
