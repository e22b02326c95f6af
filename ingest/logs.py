"""The log of the server itself: JSON lines or text for people, on standard error.

Messages are sentences, what varies stands in fields. A message that repeats goes out once per
window and is then counted, so that no sender can fill the disk with our complaints about it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from ingest.contract import LogFormat, LogSpec

WINDOW_SECONDS = 10.0
"""How long repetitions of a message are held back."""
MAXIMUM_MESSAGES = 256
"""How many different messages are remembered."""

_IDENTITY_FIELDS = ("worker", "generation", "listener", "reason", "cause")
"""Fields of which every value is worth a line of its own; the others, such as a peer, are not."""

_Key = tuple[object, ...]

_limiters: list[RepeatLimiter] = []


def choose_format(configured: Literal["auto", "json", "pretty"]) -> LogFormat:
    """Return the format to log in; `auto` means text for people where one is looking."""
    if configured == "auto":
        return "pretty" if sys.stderr.isatty() else "json"
    return configured


def configure(spec: LogSpec, **fields: object) -> None:
    """Set the log of this process up; every message carries the given fields."""
    output = _StandardError()
    renderers = _renderers(spec.format)

    def add_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**fields, **event}

    def report(message: EventDict, count: int) -> None:
        rendered: Any = {**message, "repeated": count}
        for render in renderers:
            rendered = render(None, message["level"], rendered)
        output.msg(rendered)

    limiter = RepeatLimiter(report)
    atexit.register(limiter.close)
    _limiters.append(limiter)
    structlog.configure(
        processors=[structlog.processors.add_log_level, add_fields, limiter, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(spec.level),
        logger_factory=lambda: output,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_LoggingHandler()], level=logging.WARNING, force=True)


def close() -> None:
    """Say what is still held back, where a process ends without its exit handlers."""
    for limiter in _limiters:
        limiter.close()


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module; it obeys `configure` whenever that is called."""
    logger: FilteringBoundLogger = structlog.get_logger(logger_name=name)
    return logger


@dataclass(slots=True)
class _Window:
    started: float
    message: EventDict
    suppressed: int = 0


class RepeatLimiter:
    """A processor that lets the first of equal messages through and counts the others.

    At the end of the window, seen when anything is logged, the count is handed to `report` with
    the first message. Messages are equal if level, sentence and identifying fields are.
    """

    def __init__(
        self,
        report: Callable[[EventDict, int], None],
        *,
        window_seconds: float = WINDOW_SECONDS,
        maximum_messages: int = MAXIMUM_MESSAGES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._window_seconds = window_seconds
        self._maximum = maximum_messages
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: OrderedDict[_Key, _Window] = OrderedDict()  # oldest first

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Return the message, or raise DropEvent where it is a repetition."""
        key = (event.get("level"), event["event"], *map(event.get, _IDENTITY_FIELDS))
        with self._lock:
            ended = self._take_ended()
            window = self._windows.get(key)
            if window is not None:
                window.suppressed += 1
            else:
                if len(self._windows) == self._maximum:
                    ended.append(self._windows.popitem(last=False)[1])
                first = {name: value for name, value in event.items() if name != "exc_info"}
                self._windows[key] = _Window(self._clock(), first)
        self._report_all(ended)
        if window is not None:
            raise structlog.DropEvent
        return event

    def close(self) -> None:
        """Report what is still held back."""
        with self._lock:
            ended = list(self._windows.values())
            self._windows.clear()
        self._report_all(ended)

    def _take_ended(self) -> list[_Window]:
        before = self._clock() - self._window_seconds
        ended = []
        while self._windows and next(iter(self._windows.values())).started <= before:
            ended.append(self._windows.popitem(last=False)[1])
        return ended

    def _report_all(self, windows: Iterable[_Window]) -> None:
        for window in windows:
            if window.suppressed:
                self._report(window.message, window.suppressed)


class _StandardError:
    """What structlog hands rendered lines to; one write for each, so that roles do not mix."""

    def msg(self, line: str | bytes) -> None:
        data = line.encode(errors="backslashreplace") if isinstance(line, str) else line
        # Whoever read our log may be gone; that is no reason to stop, and nowhere to say so.
        with contextlib.suppress(OSError):
            sys.stderr.buffer.write(data + b"\n")
            sys.stderr.buffer.flush()

    debug = info = warning = error = critical = exception = msg


def _renderers(form: LogFormat) -> list[Processor]:
    if form == "json":
        return [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _name_like_events,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ]
    return [
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _name_like_events(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Name and order the keys like those of the events we store."""
    first = {
        "timestamp": event.pop("timestamp"),
        "level": str(event.pop("level")).upper(),
        "message": event.pop("event"),
        "logger": event.pop("logger_name", None),
    }
    return {**first, **event}


def _to_json(event: EventDict, **_options: object) -> bytes:
    try:
        return orjson.dumps(event, default=str)
    except TypeError:  # a huge integer, or a file name that is not UTF-8
        return orjson.dumps({key: _to_ascii(value) for key, value in event.items()})


def _to_ascii(value: object) -> str:
    return str(value).encode("ascii", "backslashreplace").decode()


class _LoggingHandler(logging.Handler):
    """Sends what libraries say through `logging` the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        get_logger(record.name).log(
            record.levelno, record.getMessage(), exc_info=record.exc_info or None
        )
