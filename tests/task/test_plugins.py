"""Another project's tasks and search spaces: found beside ours.

A broken one is named in one line.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from actsearch.errors import ActsearchError, SearchSpaceError, TaskError
from actsearch.task import plugins

ERRORS = {"tasks": TaskError, "search_spaces": SearchSpaceError}


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Install a distribution ``other`` whose content is the package ``other_content``."""

    def install(group: str, files: dict[str, str]) -> Path:
        (tmp_path / "other-1.0.dist-info").mkdir()
        (tmp_path / "other-1.0.dist-info/METADATA").write_text(
            "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n"
        )
        (tmp_path / "other-1.0.dist-info/entry_points.txt").write_text(
            f"[actsearch.{group}]\nmore = other_content\n"
        )
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path

    yield install
    sys.modules.pop("other_content", None)


def test_content_of_another_project_is_found(other):
    folder = other(
        "tasks",
        {
            "other_content/__init__.py": "",
            "other_content/theirs.py": "class Theirs: ...",
            "other_content/_no.py": "class No: ...",
        },
    )
    assert plugins.find_member("tasks", "theirs") == folder / "other_content/theirs.py"
    assert plugins.module_of("tasks", "theirs") == "other_content.theirs"
    assert plugins.module_of("tasks", "flow") == "actsearch_tasks.flow"
    assert "_no" not in plugins.members("tasks")


def test_a_task_is_what_brings_a_class(other):
    folder = other(
        "tasks",
        {
            "other_content/__init__.py": "",
            "other_content/plain.py": "class Plain: ...",
            "other_content/helpers.py": "def help_(): ...",
            "other_content/constants.py": "from math import pi as pi",
            "other_content/broken.py": "class Broken: x = = 1",
            "other_content/large/__init__.py": "from .task import Large as Large",
            "other_content/large/task.py": "class Large: ...",
            "other_content/nets/__init__.py": '"""Shared by several."""',
            "other_content/nets/deep.py": "class Deep: ...",
        },
    )
    theirs, ours = set(), set()
    for name, file in plugins.members("tasks").items():
        (theirs if folder in file.parents else ours).add(name)
    assert theirs == {"plain", "broken", "large"}
    assert {"flow", "rl"} <= ours
    assert not ours & {"data", "nets"}
    assert plugins.module_of("tasks", "large") == "other_content.large"


@pytest.mark.parametrize("group", ERRORS)
@pytest.mark.parametrize(
    ("files", "why"),
    [
        (
            {"other_content/__init__.py": "import no_such_module"},
            "importable, but got ModuleNotFoundError: No module named",
        ),
        (
            {"other_content/__init__.py": "raise RuntimeError('a\\nb')"},
            "importable, but got RuntimeError: a b.",
        ),
        ({"other_content/__init__.py": "x = = 1"}, "importable, but got SyntaxError: "),
        ({}, "importable, but got ModuleNotFoundError: No module named 'other_content'."),
        ({"other_content.py": ""}, "a package, but got "),
    ],
)
def test_content_that_does_not_import_is_named_in_one_line(other, group, files, why):
    other(group, files)
    with pytest.raises(ERRORS[group]) as raised:
        plugins.members(group)
    message = str(raised.value)
    assert message.startswith(
        f"'other_content', the {group.replace('_', ' ')} of other, must be {why}"
    )
    assert message.endswith(" Reinstall or remove other.")
    assert "\n" not in message
    assert isinstance(raised.value, ActsearchError)


def test_the_command_line_prints_that_line_alone(other, actsearch):
    other("tasks", {"other_content/__init__.py": "import no_such_module"})
    ended = actsearch("tasks")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(
        "actsearch: 'other_content', the tasks of other, must be importable"
    )
    assert len(ended.stderr.splitlines()) == 1
