"""Long work says how far it is: over one line of a terminal, else in the log; never on stdout."""

from __future__ import annotations

import io
import logging

import pytest

from tidewheel.cli.progress import PlainProgress
from tidewheel.project.progress import Teller


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_on_a_terminal_one_line_is_written_over_and_gone_at_the_end() -> None:
    stream, clock = Terminal(), Clock()
    teller = Teller(stream, clock)
    teller("read trips", 0, 50_000)
    clock.now = 1.9
    teller("read trips", 10_000, 50_000)
    assert stream.getvalue() == ""
    clock.now = 2.5
    teller("read trips", 20_000, 50_000)
    teller("read trips", 20_001, 50_000)
    assert stream.getvalue() == "\r\x1b[2Kread trips: 20,000 of 50,000"
    teller("read trips", 50_000, 50_000)
    assert stream.getvalue().endswith("50,000\r\x1b[2K")


def test_without_a_terminal_there_is_a_line_in_the_log_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    stream, clock = io.StringIO(), Clock()
    teller = Teller(stream, clock)
    with caplog.at_level(logging.INFO, "tidewheel"):
        for second in range(25):
            clock.now = float(second)
            teller("answer trips", second, None)
    assert [record.getMessage() for record in caplog.records] == ["answer trips: 10", "answer trips: 20"]
    assert stream.getvalue() == ""


def test_work_that_is_soon_done_says_nothing() -> None:
    stream = Terminal()
    teller = Teller(stream, Clock())
    teller("read trips", 1, 2)
    teller("read trips", 2, 2)
    assert stream.getvalue() == ""


def test_in_a_pipe_a_part_that_takes_long_gets_a_line_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    shown = PlainProgress()
    with shown.doing("training_set:rides"):
        shown.step("read trips", 1_000, 50_000)
        clock.now = 11.0
        shown.step("read trips", 9_000, 50_000)
        shown.step("read trips", 9_001, 50_000)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "training_set:rides ...",
        "  read trips: 9,000 of 50,000",
        "training_set:rides done in 11.0 s",
    ]
