"""Whose fault an exception in the event loop is."""

from __future__ import annotations

import asyncio
import types

import uvloop

from ingest.pipeline import budget
from ingest.worker.faults import is_ours


def raised_by(module: types.ModuleType | None) -> BaseException:
    """Return what the loop hears of a callback, in a module or in this one, that raises."""
    place = {"__name__": module.__name__} if module else {"__name__": "a_plugin"}
    exec("def callback():\n    raise ValueError", place)  # noqa: S102 - code of that module
    heard: list[BaseException] = []
    loop = uvloop.new_event_loop()
    try:
        loop.set_exception_handler(lambda _loop, context: heard.append(context["exception"]))
        loop.call_soon(place["callback"])  # type: ignore[arg-type]
        loop.run_until_complete(asyncio.sleep(0.001))
    finally:
        loop.close()
    (error,) = heard
    return error


def test_what_comes_out_of_a_callback_of_the_server_is_a_fault_of_the_server() -> None:
    """However the loop has called it."""
    assert is_ours(raised_by(budget))


def test_what_comes_out_of_a_callback_of_others_is_none() -> None:
    """Nor is an exception that nobody has raised."""
    assert not is_ours(raised_by(None))
    assert not is_ours(ValueError("never raised"))
