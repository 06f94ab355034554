"""Shared by all tests: one thread, a user's own module outside of the project, the commands."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from actsearch.cli.main import main
from actsearch.errors import ActsearchWarning
from actsearch.tracking.database import create_database

from .postgresql import Server, programs, served

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("MLFLOW_TRACKING_URI", None)
os.environ.pop("ACTSEARCH_RECORD", None)


def pytest_configure() -> None:
    """Refuse to test the tasks of another checkout, or of a wheel, in place of those here."""
    for name in ("actsearch_tasks", "actsearch_search_spaces"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        here = Path(__file__).resolve().parents[1] / name.removeprefix("actsearch_")
        if found != here:
            raise pytest.UsageError(
                f"{name} must be {here}, but is {found}. Install this checkout: make install"
            )


OWN_MODULE = '''
import os, signal, sys, time
import torch
from torch import nn
import {namespace} as L

SPACE = """
activations:
  relu:
  tanh:
  elu:
"""

class Own(L.LightningModule):
    """A user's own module, with plain activations.

    Args:
        width: hidden width.
        wrong: what goes wrong with which first activation: ``tanh=raise,elu=hang``.
    """

    def __init__(self, width: int = 8, wrong: str = "", pause: float = 0.0):
        super().__init__()
        self.wrong = dict(pair.split("=") for pair in wrong.split(",") if pair)
        self.pause = pause
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        x, y = batch
        loss = nn.functional.mse_loss(self(x), y)
        match self.wrong.get(type(self.net[1]).__name__.lower()):
            case "diverge":
                return loss * float("nan")
            case "raise":
                raise RuntimeError("the user's own mistake")
            case "exit":
                sys.exit(3)
            case "abort":
                os._exit(7)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(600)
        time.sleep(self.pause)
        return loss

    def validation_step(self, batch, index):
        x, y = batch
        self.log("val_loss", nn.functional.mse_loss(self(x), y))

    def test_step(self, batch, index):
        x, y = batch
        self.log("test_loss", nn.functional.mse_loss(self(x), y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)

    def _batches(self, seed):
        x = torch.randn(64, 2, generator=torch.Generator().manual_seed(seed))
        data = torch.utils.data.TensorDataset(x, (x[:, :1] * x[:, 1:]).sin())
        return torch.utils.data.DataLoader(data, batch_size=16)

    def train_dataloader(self):
        return self._batches(0)

    def val_dataloader(self):
        return self._batches(1)

    def test_dataloader(self):
        return self._batches(2)
'''


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Ended]


@pytest.fixture(autouse=True, scope="session")
def _migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make MLflow's empty database once for all searches of this process: it takes a second."""
    empty = tmp_path_factory.getbasetemp() / "empty"

    def copied(root: Path) -> None:
        if not (root / "mlflow.db").exists():
            create_database(empty)
            root.mkdir(parents=True, exist_ok=True)
            shutil.copy(empty / "mlflow.db", root)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actsearch.tracking.replica.create_database", copied)
        yield


@contextmanager
def own_modules(folder: Path) -> Iterator[Path]:
    """Make a folder with a user's own modules ``own.Own`` and ``plain.Own``, and a search space.

    The second is one of pytorch_lightning.
    """
    for name, namespace in (("own", "lightning.pytorch"), ("plain", "pytorch_lightning")):
        (folder / f"{name}.py").write_text(OWN_MODULE.replace("{namespace}", namespace))
    (folder / "space.yaml").write_text(
        "# Three of a kind.\nactivations:\n  relu:\n  tanh:\n  elu:\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        yield folder
    for name in ("own", "plain"):
        sys.modules.pop(name, None)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A test's own folder of a user's own modules."""
    with own_modules(tmp_path):
        yield tmp_path


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[], object]], Path]:
    """Call a function in a folder of a user's own modules, and return the folder."""

    def make(function: Callable[[], object]) -> Path:
        with own_modules(tmp_path_factory.mktemp("once")) as folder:
            function()
        return folder

    return make


@pytest.fixture
def actsearch(capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run a command in this process, which spares each test the imports.

    Trials still run in processes of their own.
    """

    def run(*arguments: object) -> Ended:
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(int(exit_.value.code or 0), captured.out, captured.err)

    handler, show = signal.getsignal(signal.SIGTERM), warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("default", ActsearchWarning)  # shown as a user sees them, not raised
        yield run
    signal.signal(signal.SIGTERM, handler)
    warnings.showwarning = show


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server of these tests alone."""
    if programs() is None:
        pytest.skip("no PostgreSQL is installed here: apt-get install postgresql")
    yield from served()


@pytest.fixture
def record(postgresql: Server) -> str:
    """The URL of an empty record in PostgreSQL."""
    return postgresql.url(postgresql.database())
