"""Both executors that come along, under the laws of an executor."""

from __future__ import annotations

import pytest

from actsearch.search.executors.inline import InlineExecutor
from actsearch.search.executors.laws import ExecutorLaws
from actsearch.search.executors.local import LocalExecutor


class TestInlineExecutor(ExecutorLaws):
    survives = ("raise", "exit")

    @pytest.fixture
    def executor(self):
        return InlineExecutor()


class TestLocalExecutor(ExecutorLaws):
    @pytest.fixture
    def executor(self):
        return LocalExecutor(jobs=2)
