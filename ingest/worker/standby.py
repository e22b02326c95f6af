"""A successor waits, with its plugins started, until the worker before it is gone."""

from __future__ import annotations

import asyncio
import os
import signal

from ingest.worker.faults import note_exit


def wait_for_go(loop: asyncio.AbstractEventLoop, go: int, lifeline: int) -> bool:
    """Run the loop until a byte comes through `go`, which is closed then.

    Return False where none will come: told to end, or the supervisor is gone. The loop runs, as
    plugins may have tasks in it. Told both, the worker goes on and finds that it has to end.
    """
    decided = told_to_end = False

    def end() -> None:
        nonlocal told_to_end
        told_to_end = True
        decide()

    def decide() -> None:
        nonlocal decided
        decided = True
        for descriptor in (go, lifeline):
            loop.remove_reader(descriptor)  # a second call would stop the loop that serves
        loop.stop()

    loop.add_signal_handler(signal.SIGTERM, end)
    for descriptor in (go, lifeline):
        loop.add_reader(descriptor, decide)
    while not decided:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):  # of a task of a plugin
            note_exit()
    os.set_blocking(go, False)
    try:
        is_wanted = os.read(go, 1) != b""
    except BlockingIOError:
        return False
    finally:
        os.close(go)
    if is_wanted and told_to_end:
        signal.raise_signal(signal.SIGTERM)  # for the loop that serves
    return is_wanted
