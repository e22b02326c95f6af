"""Log how a plugin fails without saying anything of the event at which it did.

The text of an exception may quote the event, secrets and all, so it is never shown: only the kind
of failure and the place in the code. The first of a kind is logged at once, the others are
counted and told at most every ten seconds.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from ingest.logs import WINDOW_SECONDS, get_logger
from ingest.pipeline.contracts import ContractError

_MAXIMUM_KINDS = 64
"""How many kinds are told apart per stage; a plugin may make up names of exceptions."""

_log = get_logger(__name__)


def describe(error: BaseException) -> str:
    """Return what happened and where, in words that cannot come from an event."""
    if isinstance(error, ContractError):
        return str(error)
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{type(error).__name__} raised at {frame.f_code.co_filename}:{line}"


class FailureLog:
    """The failures of one stage."""

    def __init__(
        self, stage: str, plugin: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stage = stage
        self._plugin = plugin
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}

    def note(self, what: str) -> None:
        """Log a failure, or count it where one of its kind was just logged."""
        if what not in self._kinds and len(self._kinds) >= _MAXIMUM_KINDS:
            what = "many kinds of failures"
        kind = self._kinds.setdefault(what, _Kind())
        kind.count += 1
        now = self._clock()
        if now >= kind.next_at:
            kind.next_at = now + WINDOW_SECONDS
            self._write(what, kind)

    def flush(self) -> None:
        """Log what has only been counted."""
        for what, kind in self._kinds.items():
            if kind.count:
                self._write(what, kind)

    def left_out(self, seconds: float) -> None:
        """Log that the breaker has opened."""
        _log.error(
            "A plugin failed too often in a row and is left out.",
            reason=self._stage,
            plugin=self._plugin,
            seconds=seconds,
        )

    def taken_back(self) -> None:
        """Log that the breaker has closed."""
        _log.info("A plugin works again.", reason=self._stage, plugin=self._plugin)

    def _write(self, what: str, kind: _Kind) -> None:
        _log.warning(
            "A plugin failed.",
            reason=f"{self._stage}: {what}",
            plugin=self._plugin,
            failures=kind.count,
        )
        kind.count = 0


class _Kind:
    __slots__ = ("count", "next_at")

    def __init__(self) -> None:
        self.count = 0
        self.next_at = float("-inf")
