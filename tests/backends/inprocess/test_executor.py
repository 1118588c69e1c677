"""Executor in this process: the port's contract, as far as one process can keep it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tidewheel.backends.inprocess.executor import InProcessExecutor, open_executor
from tidewheel.testing.executor import ExecutorContract, run_probe


class TestInProcessExecutor(ExecutorContract):
    separate: ClassVar[bool] = False

    @pytest.fixture
    def executor(self) -> InProcessExecutor:
        return open_executor(run=run_probe)
