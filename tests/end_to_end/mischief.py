"""Plugins that do what the events tell them, good or bad; servers of tests load them by path.

An event names in `data.at` the kind of plugin it is for, and in `data.do` what that has to do.
Every plugin that does its work leaves the letter of its kind in `data.seen`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

Event = dict[str, Any]
_POLL_SECONDS = 0.002
_DAWDLE_SECONDS = 0.02


async def _raise(event: Event) -> object:
    raise ValueError(f"an exception that quotes {event}")


async def _exit(event: Event) -> object:
    sys.exit(f"a plugin that knows {event}")


async def _interrupt(_event: Event) -> object:
    raise KeyboardInterrupt


async def _loop(_event: Event) -> object:
    while True:
        pass


async def _wait(_event: Event) -> object:
    await asyncio.Event().wait()
    return None


async def _stubborn(_event: Event) -> object:
    """Wait, and not be cancelled."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return None


async def _suspend(_event: Event) -> object:
    await asyncio.sleep(0)
    return None


async def _dawdle(_event: Event) -> object:
    """Take long, but less than a budget, without ever letting the loop turn."""
    _sleep_in_c(_DAWDLE_SECONDS)
    return None


async def _gate(event: Event) -> object:
    """Wait for a file, without holding anybody up."""
    gate = Gate(event["data"]["gate"])
    gate.enter()
    while not gate.is_open():  # noqa: ASYNC110 - another process opens it
        await asyncio.sleep(_POLL_SECONDS)
    return None


async def _block(event: Event) -> object:
    """Wait for a file, and hold the whole worker up."""
    gate = Gate(event["data"]["gate"])
    gate.enter()
    while not gate.is_open():
        _sleep_in_c()
    return None


async def _junk(_event: Event) -> object:
    return object()


async def _unwritable(_event: Event) -> object:
    return {"data": {"seen": object()}}


DEEDS: dict[str, Callable[[Event], Awaitable[object]]] = {
    "raise": _raise,
    "exit": _exit,
    "interrupt": _interrupt,
    "loop": _loop,
    "wait": _wait,
    "stubborn": _stubborn,
    "suspend": _suspend,
    "dawdle": _dawdle,
    "gate": _gate,
    "block": _block,
    "junk": _junk,
    "unwritable": _unwritable,
}


class Gate:
    """A file that lets events pass once it exists; another says that one has come to it."""

    def __init__(self, path: str) -> None:
        self._open = Path(path)
        self._entered = Path(f"{path}.entered")

    def enter(self) -> None:
        self._entered.touch()

    def is_entered(self) -> bool:
        return self._entered.exists()

    def is_open(self) -> bool:
        return self._open.exists()

    def open(self) -> None:
        self._open.touch()


def _sleep_in_c(seconds: float = _POLL_SECONDS) -> None:
    time.sleep(seconds)


class Plugin:
    """What the kinds have in common."""

    name: ClassVar[str]

    async def obey(self, event: Event) -> Any:  # noqa: ANN401 - as bad as the event wants it
        """Do what the event says; return what to return instead of a result, or None."""
        data = event.get("data", {})
        return await DEEDS[data["do"]](event) if data.get("at") == self.name else None


class Filter(Plugin):
    """Drops events that say so."""

    name = "filter"

    async def filter(self, event: Event) -> Event | None:
        data = event.get("data", {})
        if data.get("do") == "drop":
            return None
        junk = await self.obey(event)
        return junk or {**event, "data": {**data, "seen": data.get("seen", "") + "f"}}


class Enricher(Plugin):
    """Adds its letter."""

    name = "enricher"

    async def enrich(self, event: Event) -> Event:
        junk = await self.obey(event)
        return junk or {"data": {"seen": event.get("data", {}).get("seen", "") + "e"}}


class Redactor(Plugin):
    """Masks `data.secret`."""

    name = "redactor"

    async def redact(self, event: Event) -> Event:
        data = event.setdefault("data", {})
        junk = await self.obey(event)
        data["seen"] = data.get("seen", "") + "r"
        if "secret" in data:
            data["secret"] = "***"  # noqa: S105
        return junk or event


class Processor(Plugin):
    """Adds its letter to the bytes."""

    name = "processor"

    async def process(self, view: memoryview) -> memoryview:
        junk = await self.obey(json.loads(bytes(view)))
        return junk or memoryview(bytes(view).replace(b'"seen":"', b'"seen":"p', 1))


class Unstartable(Filter):
    """Cannot start, by an exception that quotes what it was told."""

    def __init__(self, password: str) -> None:
        self._password = password

    async def start(self) -> None:
        raise ConnectionError(f"cannot log in with {self._password}")


class Ailing(Filter):
    """Works, and says that it is not well."""

    async def health_check(self) -> bool:
        return False


class Leaving(Filter):
    """Wants the whole process to end when it starts."""

    async def start(self) -> None:
        sys.exit("wrong licence")


class Careless(Filter):
    """Leaves tasks, callbacks and threads behind, which fail, never end or end the worker."""

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(_wait({}))]
        threading.Thread(target=threading.Event().wait).start()

    async def filter(self, event: Event) -> Event | None:
        loop = asyncio.get_running_loop()
        match event.get("data", {}).get("leave"):
            case "task":
                loop.create_task(_raise(event))  # noqa: RUF006 - that is what is wrong with it
            case "callback":
                loop.call_soon(_fail_at_once, event)
            case "exit":
                self._tasks.append(loop.create_task(_exit(event)))
            case "interrupt":
                loop.create_task(_interrupt(event))  # noqa: RUF006 - likewise
        await asyncio.sleep(0)
        return event

    async def stop(self) -> None:
        raise RuntimeError("cannot stop")


class Quitter(Filter):
    """Lets a task end the process once a gate is open, and waits for that."""

    async def filter(self, event: Event) -> Event | None:
        if "gate" in event.get("data", {}):
            await asyncio.wait([asyncio.create_task(self._quit(event))])
        return event

    async def _quit(self, event: Event) -> None:
        await _gate(event)
        sys.exit("a plugin has had enough")


def _fail_at_once(event: Event) -> None:
    raise ValueError(f"an exception that quotes {event}")
