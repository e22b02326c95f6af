"""The server's own log: one line each, and no flood of the same line."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import structlog

from ingest.logs import RepeatLimiter, choose_format


class Clock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Limited:
    """A limiter with its clock, and what went through or was reported."""

    def __init__(self, maximum_messages: int = 8) -> None:
        self.clock = Clock()
        self.passed: list[dict[str, Any]] = []
        self.reported: list[tuple[str, int]] = []
        self.limiter = RepeatLimiter(
            lambda message, count: self.reported.append((message["event"], count)),
            window_seconds=10.0,
            maximum_messages=maximum_messages,
            clock=self.clock,
        )

    def log(self, event: str, **fields: object) -> bool:
        """Log a message; return whether it went out."""
        try:
            passed = self.limiter(None, "info", {"event": event, "level": "info", **fields})
        except structlog.DropEvent:
            return False
        self.passed.append(dict(passed))
        return True


class TestRepeatLimiter:
    """What repeats is counted instead of written."""

    def test_the_first_goes_out_and_repetitions_are_counted(self) -> None:
        """The count comes when the window is over."""
        limited = Limited()
        assert limited.log("Disk is full.")
        assert not limited.log("Disk is full.")
        assert not limited.log("Disk is full.")
        limited.clock.now += 10.0
        assert limited.log("Disk is full.")
        assert limited.reported == [("Disk is full.", 2)]

    def test_the_end_of_a_window_is_seen_when_anything_is_logged(self) -> None:
        """It does not take the same message to learn the count."""
        limited = Limited()
        limited.log("A.")
        limited.log("A.")
        limited.clock.now += 11.0
        limited.log("B.")
        assert limited.reported == [("A.", 1)]

    def test_a_message_that_did_not_repeat_is_not_reported(self) -> None:
        """A report stands for what was not seen."""
        limited = Limited()
        limited.log("A.")
        limited.clock.now += 11.0
        limited.log("B.")
        limited.limiter.close()
        assert limited.reported == []

    def test_other_workers_are_other_messages_and_other_peers_are_not(self) -> None:
        """Workers are few, peers are as many as somebody likes."""
        limited = Limited()
        assert limited.log("Ready.", worker=0)
        assert limited.log("Ready.", worker=1)
        assert limited.log("Refused.", peer="10.0.0.1")
        assert not limited.log("Refused.", peer="10.0.0.2")

    def test_what_is_remembered_is_bounded_and_nothing_is_forgotten(self) -> None:
        """The oldest makes room, with its count."""
        limited = Limited(maximum_messages=2)
        for event in ("A.", "A.", "B.", "C."):
            limited.log(event)
        assert limited.reported == [("A.", 1)]
        assert limited.log("A.")

    def test_closing_reports_what_is_held_back(self) -> None:
        """The end of the process loses no count."""
        limited = Limited()
        limited.log("A.")
        limited.log("A.")
        limited.limiter.close()
        assert limited.reported == [("A.", 1)]


PROGRAM = """
import logging, sys
from ingest import logs
from ingest.contract import LogSpec
logs.configure(LogSpec(level="INFO", format=sys.argv[1]), role="worker", worker=3)
log = logs.get_logger("ingest.example")
log.debug("Not shown.")
for peer in range(3):
    log.warning("Refused a connection.", peer=peer)
try:
    raise ValueError("broken")
except ValueError:
    log.exception("Failed.", number=1 << 70, name="\\udcff")
logging.getLogger("library").error("said %s", "this")
"""


def run(form: str) -> list[str]:
    """Log from a process of its own; return the lines on its standard error."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], capture_output=True, timeout=30, check=True
    )
    assert done.stdout == b""
    return done.stderr.decode().splitlines()


def test_json_has_one_object_per_line_with_the_keys_of_an_event() -> None:
    """So the server's log can be fed to the server."""
    lines = [json.loads(line) for line in run("json")]
    assert [line["message"] for line in lines] == [
        "Refused a connection.",
        "Failed.",
        "said this",
        "Refused a connection.",
    ]
    first, failed, library, repeated = lines
    assert list(first) == ["timestamp", "level", "message", "logger", "role", "worker", "peer"]
    assert (first["level"], first["logger"], first["worker"]) == ("WARNING", "ingest.example", 3)
    assert "ValueError: broken" in failed["exception"]
    assert failed["number"] == str(1 << 70)
    assert (library["logger"], library["level"]) == ("library", "ERROR")
    assert repeated["repeated"] == 2


def test_pretty_is_for_people() -> None:
    """Level, sentence and fields are there."""
    first, *rest = run("pretty")
    assert "Refused a connection." in first
    assert "worker=3" in first
    assert "Not shown." not in "".join(rest)


def test_auto_is_json_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """What is asked for by name is taken anywhere."""
    del capsys  # standard error is not a terminal while it is captured
    assert choose_format("auto") == "json"
    assert choose_format("pretty") == "pretty"
