"""Tell faults of the server from those of plugins that share the event loop with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ingest.logs import get_logger

_OWN_PACKAGE = "ingest"
_LOOP_PACKAGE = "uvloop"

T = TypeVar("T")

_log = get_logger(__name__)


def complete(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run the loop until the work is done, whatever else in it wants to end the process."""
    task = loop.create_task(work)
    while True:
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt):
            if task.done():
                raise
            note_exit()


def note_exit() -> None:
    """Log that the loop has ended for a task of a plugin that raised SystemExit or the like."""
    _log.warning("A plugin wanted the worker to exit.")


def is_ours(error: BaseException) -> bool:
    """Say whether an exception came out of a callback or task of the server."""
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return False  # though it has come through our frames, for it ends the loop that we run
    traceback = error.__traceback__
    while traceback is not None:
        package = str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0]
        if package != _LOOP_PACKAGE:  # which called it
            return package == _OWN_PACKAGE
        traceback = traceback.tb_next
    return False
