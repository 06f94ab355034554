"""Both executors that come along, under the laws of an executor."""

from __future__ import annotations

import pytest

from actsearch.search.executors.executor import InlineExecutor, LocalExecutor
from actsearch.search.executors.laws import ExecutorLaws


class TestInlineExecutor(ExecutorLaws):
    survives = ("raise", "exit")

    @pytest.fixture
    def executor(self):
        return InlineExecutor()


class TestLocalExecutor(ExecutorLaws):
    @pytest.fixture
    def executor(self):
        return LocalExecutor(jobs=2)
