"""Laws that every task obeys, as a class that a task's own tests inherit."""

from __future__ import annotations

import inspect
import logging
import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from actsearch.errors import ActsearchError, ActsearchWarning
from actsearch.placement import Placement, find_sites
from actsearch.run import run_search
from actsearch.task.options import Interval, options
from actsearch.task.task import Task
from actsearch.task.tensor_task import TensorTask

Options = dict[str, Any]


def build_task(task: type[Task], given: Options, seed: int = 0) -> Task:
    """Build a task under a seed."""
    L.seed_everything(seed, verbose=False)
    return task(**given)


def trainer(epochs: int = 1, **more: Any) -> L.Trainer:
    """Return Lightning's trainer on the CPU, with nothing on top."""
    return L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **more,
    )


def fit(module: Task, epochs: int = 1) -> dict[str, float]:
    """Train, and return what was logged; a speed, ``*_per_second``, is left out."""
    run = trainer(epochs)
    run.fit(module)
    logged = run.callback_metrics.items()
    return {name: float(value) for name, value in logged if not name.endswith("_per_second")}


class TaskLaws:
    """What holds for every task: inherit, and say which task, and how it is small.

    ::

        class TestPendulum(TaskLaws):
            @pytest.fixture
            def task(self):
                return Pendulum

            @pytest.fixture
            def small(self):
                return {"points": 64, "hidden": 8}

    Fixtures:
        task: the task's class.
        small: options under which an epoch takes a second.
        variant: further options, given over ``small`` where a task is trained; none by default.
            Give it ``params``, and each is tried.
    """

    @pytest.fixture
    def task(self) -> type[Task]:
        """Return the task's class."""
        raise NotImplementedError("a test of a task must have a fixture `task`, its class")

    @pytest.fixture
    def small(self) -> Options:
        """Return options under which an epoch takes a second."""
        raise NotImplementedError("a test of a task must have a fixture `small`, its options")

    @pytest.fixture
    def variant(self) -> Options:
        """Return options that are tried over the small ones."""
        return {}

    @pytest.fixture(autouse=True)
    def _quiet(self) -> Iterator[None]:
        logger = logging.getLogger("lightning.pytorch")
        level, threads = logger.level, torch.get_num_threads()
        logger.setLevel(logging.ERROR)
        torch.set_num_threads(1)
        yield
        logger.setLevel(level)
        torch.set_num_threads(threads)

    def test_trains_under_a_bare_trainer_and_logs_what_it_names(
        self, task: type[Task], small: Options, variant: Options
    ) -> None:
        """Both metrics that a task names are logged, and finite."""
        module = build_task(task, small | variant)
        logged = fit(module)
        assert module.monitor in logged, f"{module.monitor} must be logged, but got {logged}"
        assert math.isfinite(logged[module.monitor]), logged
        (tested,) = trainer().test(module, verbose=False)
        assert module.test_metric in tested, f"{module.test_metric} must be logged in test"
        assert math.isfinite(tested[module.test_metric]), tested

    def test_every_site_gets_a_gradient(
        self, task: type[Task], small: Options, variant: Options
    ) -> None:
        """There is a site, and the loss depends on what every one of them puts out."""
        module = build_task(task, small | variant)
        sites = [s.name for s in find_sites(module, module.example_input_array) if not s.protected]
        assert sites, "a task must have a site"
        reached: set[str] = set()
        for name in sites:
            _tell_gradient(module.get_submodule(name), name, reached)
        trainer(limit_train_batches=4, limit_val_batches=0).fit(module)
        assert reached == set(sites), f"no gradient at {sorted(set(sites) - reached)}"

    def test_same_seed_same_numbers_and_another_seed_others(
        self, task: type[Task], small: Options
    ) -> None:
        """Randomness comes from the seed alone."""
        first, again, other = (fit(build_task(task, small, seed)) for seed in (3, 3, 4))
        assert first == again
        assert first != other

    def test_the_test_split_changes_nothing_of_a_fit(
        self, task: type[Task], small: Options
    ) -> None:
        """Neither training nor validation sees it."""
        expected = fit(build_task(task, small))
        blind = build_task(task, small)

        def refuse() -> None:
            raise AssertionError("a fit must not ask for the test split")

        blind.test_dataloader = refuse  # type: ignore[method-assign]
        if isinstance(blind, TensorTask):
            for tensor in blind.tensors:
                tensor[blind.splits.test] = torch.nan if tensor.is_floating_point() else 0
        assert fit(blind) == expected

    def test_every_option_is_documented(self, task: type[Task]) -> None:
        """A class's docstring has its constructor's arguments, in order."""
        for cls in task.__mro__[: task.__mro__.index(Task)]:
            if "__init__" in vars(cls):
                parameters = inspect.signature(cls).parameters.values()
                names = [str(parameter).partition(":")[0] for parameter in parameters]
                assert _documented(cls) == names, f"Args of {cls.__name__}"

    def test_a_wrong_option_is_refused_in_one_line(
        self, task: type[Task], small: Options, tmp_path: Path
    ) -> None:
        """A value that its annotation does not allow, and an option that does not exist."""
        for name, annotation in options(task).items():
            for value in _wrong(annotation):
                with pytest.raises(ActsearchError, match=f"^{name} must ") as caught:
                    task(**small | {name: value})
                assert "\n" not in str(caught.value)
        with pytest.raises(ActsearchError, match="no_such_option") as caught:
            run_search(task, store=tmp_path, config={"task.no_such_option": 1})
        assert "\n" not in str(caught.value)

    def test_pictures_are_png_files(self, task: type[Task], small: Options, tmp_path: Path) -> None:
        """Drawing leaves the mode of the model as it was."""
        module = build_task(task, small)
        fit(module)
        module.pictures(tmp_path)
        drawn = list(tmp_path.glob("*.png"))
        assert bool(drawn) == (task.pictures is not Task.pictures)
        for file in drawn:
            assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", file
        assert module.training

    def test_a_search_of_two_trials_gives_a_placement_that_loads_and_trains(
        self, task: type[Task], small: Options, tmp_path: Path
    ) -> None:
        """The task's own search space fits its sites."""
        result = run_search(
            (task, small),
            trials=2,
            store=tmp_path / "store",
            executor="inline",
            config={
                "trainer.max_epochs": 1,
                "trainer.check_val_every_n_epoch": 1,
                "trainer.accelerator": "cpu",
            },
            learning_rate="fixed",  # the second trial so has activations of its own
            experience=False,  # to look it up takes longer than both trials
            confirm=0,
        )
        assert [trial.state.name for trial in result.trials] == ["COMPLETE"] * 2, result.trials
        assert result.trials[1].params, "the second trial must choose"
        placement = Placement.load(result.best.save(tmp_path / "placement.json"))
        assert placement.sites
        module = build_task(task, small)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ActsearchWarning)  # it was not confirmed
            placement.apply(module, module.example_input_array)
        assert module.monitor in fit(module)


def _tell_gradient(site: nn.Module, name: str, reached: set[str]) -> None:
    """Add the site's name where its output gets a gradient that is not 0."""

    def tell(gradient: Tensor) -> None:
        if gradient.isfinite().all() and gradient.any():
            reached.add(name)

    def watch(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(tell)

    site.register_forward_hook(watch)


def _documented(cls: type) -> list[str]:
    """Return the arguments that a docstring explains, in order."""
    _, _, section = inspect.cleandoc(cls.__doc__ or "").partition("\nArgs:\n")
    return re.findall(r"^    (\**\w+): ", section.split("\n\n")[0], re.MULTILINE)


def _wrong(annotation: Any) -> list[Any]:
    """Return values that an annotation does not allow; none where it allows all."""
    wrong: list[Any] = []
    for kind in (annotation, *get_args(annotation)):
        if get_origin(kind) is Literal:
            wrong.append("no such choice")
        for interval in getattr(kind, "__metadata__", ()):
            if isinstance(interval, Interval):
                wrong += [interval.low if interval.open else interval.low - 1, math.nan, math.inf]
    return wrong
