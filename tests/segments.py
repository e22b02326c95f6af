"""Python segments of a pipeline for tests: plugins given as objects, events in and out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import uvloop

from ingest.contract import FailurePolicy, StageKind, StageSpec
from ingest.pipeline.catalogue import METHODS
from ingest.pipeline.exchange import Origin, Outcome, StageCounts, Verdict
from ingest.pipeline.host import PythonSegment

_MADE: dict[str, object] = {}

T = TypeVar("T")


def made(key: str) -> object:
    """Return a plugin that a test has made (`tests.segments:made`)."""
    return _MADE[key]


def stage(
    plugin: object,
    kind: StageKind | None = None,
    *,
    name: str | None = None,
    config: dict[str, Any] | None = None,
    fail: FailurePolicy = "closed",
    budget_seconds: float = 5.0,
    breaker_failures: int = 1000,
    breaker_seconds: float = 3600.0,
) -> StageSpec:
    """Return a stage for a plugin, or for the name of one."""
    if isinstance(plugin, str):
        path, config = plugin, config or {}
        name = name or plugin
    else:
        key = str(len(_MADE))
        _MADE[key] = plugin
        path, config = "tests.segments:made", {"key": key}
        name = name or type(plugin).__name__
    kinds = [kind] if kind else [each for each in METHODS if hasattr(plugin, METHODS[each])]
    return StageSpec(
        index=0,
        name=name,
        kind=kinds[0],
        kernel=None,
        plugin=path,
        config=config,
        fail=fail,
        budget_seconds=budget_seconds,
        breaker_failures=breaker_failures,
        breaker_seconds=breaker_seconds,
    )


def event(message: str = "hello", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a canonical event with the given top-level keys."""
    return {
        "timestamp": "2026-01-01T00:00:00.000Z",
        "level": "INFO",
        "message": message,
        "logger": "root",
        "context": {},
        "diagnostics": {},
        "data": {},
    } | changes


SECRET = "hunter2"  # noqa: S105 - what must not be seen
GOOD, BAD = event("good"), event("bad", data={"password": SECRET})
SEEN = {**GOOD, "seen": True}
"""What `Picky` makes of a good event."""


class Picky:
    """One object of every kind; fails at the events whose message is `bad`."""

    name = "picky"

    def __init__(self, fail: Callable[[Any], Any]) -> None:
        self._fail = fail
        self.calls = 0

    async def filter(self, event: dict[str, Any]) -> Any:  # noqa: ANN401 - anything
        self.calls += 1
        return self._fail(event) if event["message"] == "bad" else {**event, "seen": True}

    async def redact(self, event: dict[str, Any]) -> Any:  # noqa: ANN401 - anything
        return await self.filter(event)

    async def enrich(self, event: dict[str, Any]) -> Any:  # noqa: ANN401 - anything
        self.calls += 1
        return self._fail(event) if event["message"] == "bad" else {"seen": True}

    async def process(self, view: memoryview) -> Any:  # noqa: ANN401 - anything
        self.calls += 1
        event = msgspec.json.decode(view)
        if event["message"] == "bad":
            return self._fail(view)
        return memoryview(msgspec.json.encode({**event, "seen": True}))


def raise_secret(_: object) -> None:
    """Fail and quote the event."""
    raise ValueError(f"cannot handle {SECRET}")


def spin(_: object) -> None:
    """Never return."""
    while True:
        pass


class Hosted:
    """A started segment on a loop of its own."""

    def __init__(self, *stages: StageSpec) -> None:
        self.counts: dict[int, StageCounts] = {}
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.segment = PythonSegment(list(enumerate(stages)), self.counts.__setitem__)

    def __enter__(self) -> Self:
        try:
            self.run(self.segment.start())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.run(self.segment.stop())
        finally:
            self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the loop."""
        return self._runner.run(work)

    def process(self, *events: dict[str, Any], origins: Sequence[Origin] = ()) -> Outcome:
        """Run the stages on events."""
        return self.run(self.segment.process(msgspec.json.Encoder().encode_lines(events), origins))

    def pass_through(self, *events: dict[str, Any]) -> list[dict[str, Any]]:
        """Run the stages on events; return those that go on, or to the dead letters."""
        return events_of(self.process(*events))


def events_of(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the events whose lines came out."""
    return msgspec.json.Decoder().decode_lines(outcome.lines)


def verdicts_of(outcome: Outcome) -> list[Verdict]:
    """Return what became of the events."""
    return list(map(Verdict, outcome.verdicts))
