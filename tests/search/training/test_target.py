"""What is trained: found by name, its options completed and kept, its parts built."""

from __future__ import annotations

import lightning.pytorch as L
import pytest

from actsearch.errors import InvalidValueError, TaskError, UnknownNameError
from actsearch.search.training.target import LEAN_TRAINER, Target, resolve, trainer_options

DATA = """
import {namespace} as L

class Data(L.LightningDataModule):
    def __init__(self, rows: int = 8):
        super().__init__()
        self.rows = rows
"""


@pytest.fixture
def data(own):
    """Data modules of both Lightnings."""
    for name, namespace in (("ours", "lightning.pytorch"), ("theirs", "pytorch_lightning")):
        (own / f"{name}_rows.py").write_text(DATA.format(namespace=namespace))
    return own


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "home"), [("own.Own", "lightning"), ("plain.Own", "pytorch_lightning")]
)
def test_the_trainer_is_of_the_modules_own_lightning(name, home):
    target = Target.resolve(name)
    assert (target.name, target.module.__name__, target.data) == (name, "Own", None)
    assert target.trainer.__module__.split(".")[0] == home


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("nowhere.Own", TaskError, "there is no module 'nowhere'"),
        ("own.Other", TaskError, "'own.Other' must name a class, but own has no 'Other'"),
        ("own.nn", TaskError, "'own.nn' must be a LightningModule"),
        ("clasification", UnknownNameError, "classification"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(name, error, told):
    with pytest.raises(error, match=told) as raised:
        Target.resolve(name)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("data")
def test_two_lightnings_are_refused():
    assert Target.resolve("own.Own", "ours_rows.Data").data.__name__ == "Data"
    with pytest.raises(TaskError, match="module and data must be of one Lightning"):
        Target.resolve("own.Own", "theirs_rows.Data")


def test_data_beside_a_training_function_are_refused():
    with pytest.raises(TaskError, match=r"must load its data itself, but got data 'own\.Data'"):
        resolve("own.train", "own.Data", "own.model")


@pytest.mark.usefixtures("data")
def test_options_are_completed_and_of_the_trainer_those_that_differ_are_kept():
    target = Target.resolve("own.Own", "ours_rows.Data")
    lean = {k: v for k, v in LEAN_TRAINER.items() if v != trainer_options(L.Trainer)[k]}
    config = target.configure({"task.width": 16, "data": {"rows": 4}, "trainer.max_epochs": 3})
    assert config == {
        "task": {"width": 16, "wrong": "", "pause": 0.0},
        "data": {"rows": 4},
        "trainer": {**lean, "max_epochs": 3},
    }
    assert target.configure(config) == config, "complete options are complete"


@pytest.mark.usefixtures("own")
def test_a_trainers_option_at_its_own_default_is_not_kept():
    default = trainer_options(L.Trainer)["num_sanity_val_steps"]
    config = Target.resolve("own.Own").configure({"trainer.num_sanity_val_steps": default})
    assert "num_sanity_val_steps" not in config["trainer"]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("task.widht", "nearest: --task.width"),
        ("trainer.max_epoch", "--trainer.max_epochs"),
        ("data.rows", "data"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(option, told):
    with pytest.raises(InvalidValueError) as raised:
        Target.resolve("own.Own").configure({option: 3})
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("own")
def test_a_value_of_another_type_is_told_with_it():
    with pytest.raises(InvalidValueError, match="many") as raised:
        Target.resolve("own.Own").configure({"task.width": "many"})
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("data")
def test_the_parts_are_built_from_the_options():
    target = Target.resolve("own.Own", "ours_rows.Data")
    given = {"task.pause": 0.5, "data.rows": 4, "trainer.max_epochs": 3}
    module, data, trainer = target.build(target.configure(given))
    assert (module.pause, data.rows, trainer.max_epochs) == (0.5, 4, 3)
    assert isinstance(trainer, L.Trainer)
    assert target.build(target.configure(given))[0] is not module


@pytest.mark.usefixtures("own")
def test_a_users_own_class_says_nothing_of_itself():
    assert Target.resolve("own.Own").default("monitor", "val_loss") == "val_loss"


@pytest.mark.parametrize("path", [".toy.Toy", "../toy.Toy", ".Toy", "a/../.Toy"])
@pytest.mark.parametrize("part", ["task", "data"])
def test_what_is_no_dotted_path_is_refused(path, part):
    given = {"task": "classification", "data": ""} | {part: path}
    with pytest.raises(TaskError, match=f"'{path}' must be|no module 'a/"):
        resolve(**given)
