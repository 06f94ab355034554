"""The winner is a registered model of the study's name, with a version for each new winner."""

from __future__ import annotations

import threading

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import save_model

from actsearch.search.confirm.confirmation import Confirmation
from actsearch.tracking import model
from actsearch.tracking.mirror import Mirror
from actsearch.tracking.model import bring_winner
from actsearch.tracking.replica import Replica


@pytest.fixture
def won(searched, own):
    """A study with a winner, and its network as the confirmation has left it."""
    from own import Own

    run = searched
    number = Confirmation.read(run).winner[0]
    torch.manual_seed(0)
    network = Own(width=8)
    run.placement(run.trials[number]).apply(network, torch.zeros(4, 2))
    folder = run.folder / "confirmed" / f"{number:05d}"
    folder.mkdir(parents=True, exist_ok=True)
    save_model(network, str(folder / "weights.safetensors"))
    return run, network


def test_the_winner_is_registered_once(won, monkeypatch):
    run, network = won
    monkeypatch.setitem(run.config.config["task"], "width", 8)
    run.config.config["task"].pop("lr")
    replica = Replica(run)
    replica.connect()
    whole, calls = MlflowClient.create_model_version, []

    def cut(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            raise ConnectionError("cut")
        return whole(*arguments, **options)

    monkeypatch.setattr(MlflowClient, "create_model_version", cut)
    with pytest.raises(ConnectionError):
        bring_winner(replica)
    assert bring_winner(replica) == "version 1"
    assert bring_winner(replica) == "version 1", "the same winner"
    assert len(calls) == 2
    client = MlflowClient(f"sqlite:///{run.store.root}/mlflow.db")
    (version,) = client.search_model_versions("name = 's'")
    assert version.run_id == replica.parent
    assert version.description == Confirmation.read(run).verdict()
    assert client.get_run(replica.parent).data.tags["actsearch.model"] == "version 1"
    assert len(client.search_logged_models([replica.experiment])) == 1

    x = torch.randn(5, 2)
    mlflow.set_tracking_uri(f"sqlite:///{run.store.root}/mlflow.db")
    try:
        loaded = mlflow.pytorch.load_model("models:/s/1")
    finally:
        mlflow.set_tracking_uri("")
    torch.testing.assert_close(loaded(x), network(x))


def test_another_winner_is_another_version(won, monkeypatch):
    run, _ = won
    replica = Replica(run)
    replica.connect()

    def exported(run, number, folder):
        folder.mkdir()
        (folder / "MLmodel").write_text(f"{number}")
        return ""

    monkeypatch.setattr(model, "_export", exported)
    assert bring_winner(replica) == "version 1"
    result = Confirmation.read(run)
    result.comparisons.reverse()
    result.write(run)
    assert bring_winner(replica) == "version 2"
    result.comparisons.reverse()
    result.write(run)
    assert bring_winner(replica) == "version 3", "the first one again"
    client = MlflowClient(f"sqlite:///{run.store.root}/mlflow.db")
    assert len(client.search_logged_models([replica.experiment])) == 2


def test_a_model_of_somebody_else_is_left_alone(won):
    run, _ = won
    replica = Replica(run)
    replica.connect()
    replica.client.create_registered_model("s")
    assert bring_winner(replica) == "the registered model s is somebody else's"
    assert not replica.client.search_model_versions("name = 's'")


def test_nobody_waits_for_a_registry_that_hangs(won, monkeypatch):
    run, _ = won
    mirror = Mirror(run.store)
    mirror._replica = Replica(run)
    mirror._replica.connect()
    hanging = threading.Event()
    monkeypatch.setattr("actsearch.tracking.mirror.PATIENCE", 0.2)
    monkeypatch.setattr(MlflowClient, "search_registered_models", lambda *_: hanging.wait(60))
    assert mirror.log_model().startswith("TimeoutError: it did not answer within")
    assert mirror.problem, "the search tells it, and the way on"
    hanging.set()
