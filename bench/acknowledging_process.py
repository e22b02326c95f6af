"""`python -m bench.acknowledging_process`: a worker with a source that acknowledges.

It is asked, a line of JSON each on standard input, to submit bodies as so many clients would that
send the next request when the last was answered, and says on standard output how long that took.
The end of the input ends it. It takes TCP as any worker does.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from pathlib import Path

import msgspec

from bench import generator
from bench.acknowledging import Answered, Asked, Started
from bench.distribution import Distribution
from bench.one_worker import OneWorker, one_worker

_LISTENER = 0
_EVENTS = 4000
_PEER = "192.0.2.1:443"


def bodies(lines: list[bytes], asked: Asked) -> list[bytes]:
    """Cut the lines into bodies of at least so many bytes."""
    found, body, size = [], [], 0
    for line in itertools.cycle(lines):
        body.append(line)
        size += len(line)
        if size >= asked.body_bytes:
            found.append(b"".join(body))
            body, size = [], 0
            if len(found) == asked.bodies:
                return found
    raise ValueError("no lines")


async def answer(worker: OneWorker, lines: list[bytes], asked: Asked) -> Answered:
    """Submit for the time that was asked for; wait for every answer."""
    milliseconds: list[float] = []
    events = 0
    given = itertools.cycle((each, each.count(b"\n")) for each in bodies(lines, asked))
    began = time.perf_counter()

    async def client() -> None:
        nonlocal events
        while (sent := time.perf_counter()) < began + asked.seconds:
            body, count = next(given)
            await worker.durability.store(_LISTENER, body, peer=_PEER)
            milliseconds.append((time.perf_counter() - sent) * 1000)
            events += count

    await asyncio.gather(*(client() for _ in range(asked.concurrency)))
    return Answered(
        requests=len(milliseconds),
        events=events,
        seconds=time.perf_counter() - began,
        milliseconds=Distribution.of(milliseconds),
    )


async def serve(worker: OneWorker, address: str) -> None:
    """Answer what is asked until the input ends."""
    lines = generator.events(_EVENTS).splitlines(keepends=True)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say(Started(address=address, region=worker.region.fileno()))
    while line := await reader.readline():
        _say(await answer(worker, lines, msgspec.json.decode(line, type=Asked)))


def _say(message: Started | Answered) -> None:
    print(msgspec.json.encode(message).decode(), flush=True)


def main() -> int:
    """Serve once."""
    parser = argparse.ArgumentParser(prog="python -m bench.acknowledging_process")
    parser.add_argument("--configuration", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    options = parser.parse_args()
    with one_worker(options.configuration, options.data_dir) as (worker, address):
        worker.run(serve(worker, address))
    return 0


if __name__ == "__main__":
    sys.exit(main())
