"""The parts of a measurement: one that fails leaves what the others measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bench.runs import FAILURES

_Result = TypeVar("_Result")

_INTERRUPTED = "it was interrupted"


class Parts:
    """Measures one part after the other; behind an interrupt none is begun."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.failures: dict[str, str] = {}
        """Why there is no figure, by the name of the part."""
        self._tell = tell
        self._is_interrupted = False

    def measure(self, name: str, asked: object, measure: Callable[[], _Result]) -> _Result | None:
        """Return what a part came to, None unless it is asked for.

        None as well, and a note in `failures`, where it failed.
        """
        if not asked:
            return None
        if self._is_interrupted:
            self._note(name, _INTERRUPTED)
            return None
        try:
            return measure()
        except FAILURES as error:
            self._note(name, f"{error}")
        except KeyboardInterrupt:
            self._is_interrupted = True
            self._note(name, _INTERRUPTED)
        return None

    def _note(self, name: str, why: str) -> None:
        self.failures[name] = why
        self._tell(f"{name}: FAILED: {why}")
