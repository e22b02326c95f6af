"""Run as a program: fapilog's own pipeline on decoded events, in this process.

It runs `LoggerWorker.flush_batch` with the stages of an `ingest` configuration and a sink that
takes the bytes and does nothing. Decoding is not measured. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import msgspec
from fapilog.core.concurrency import NonBlockingRingQueue
from fapilog.core.serialization import SerializedView
from fapilog.core.worker import LoggerWorker
from fapilog.plugins.loader import load_plugin

from bench.peers.fapilog import Flushed

_BATCH_EVENTS = 256
_WARM_UP_BATCHES = 8

Event = dict[str, Any]


class Sink:
    """Counts what it is given; the last of it can be looked at."""

    def __init__(self) -> None:
        self.written = 0
        self.last = b""

    async def write(self, event: Event) -> None:
        """Refuse: an event that comes as an object could not be serialised."""
        raise TypeError(f"not serialised: {event}")

    async def write_serialized(self, view: SerializedView) -> None:
        """Take the bytes of an event."""
        self.written += 1
        self.last = view.data


def stages(configuration: Path, enrichers: Sequence[str]) -> dict[str, list[Any]]:
    """Return fapilog's plugins for a configuration, with other enrichers than it names."""
    pipeline = tomllib.loads(configuration.read_text())["pipeline"]
    named = {**pipeline, "enrichers": enrichers}
    plugins = {}
    for kind in ("filters", "enrichers", "redactors"):
        group = f"fapilog.{kind}"
        importlib.import_module(f"fapilog.plugins.{kind}")  # registers the built-ins
        plugins[kind] = [
            load_plugin(group, name, pipeline["config"].get(name, {})) for name in named[kind]
        ]
    return plugins


def worker(plugins: dict[str, list[Any]], sink: Sink) -> LoggerWorker:
    """Return fapilog's worker as its logger makes one, but for the queue, which is not used."""
    return LoggerWorker(
        queue=NonBlockingRingQueue(capacity=_BATCH_EVENTS),
        batch_max_size=_BATCH_EVENTS,
        batch_timeout_seconds=0.25,
        sink_write=sink.write,
        sink_write_serialized=sink.write_serialized,
        filters_getter=lambda: plugins["filters"],
        enrichers_getter=lambda: plugins["enrichers"],
        redactors_getter=lambda: plugins["redactors"],
        metrics=None,
        serialize_in_flush=True,
        strict_envelope_mode_provider=lambda: False,
        stop_flag=lambda: False,
        drained_event=None,
        flush_event=None,
        flush_done_event=None,
        emit_enricher_diagnostics=False,
        emit_redactor_diagnostics=False,
        counters={"processed": 0, "dropped": 0},
    )


def batches(lines: Sequence[bytes], events: int) -> Iterator[list[Event]]:
    """Decode the lines over and over, a batch when it is asked for, so many events in all."""
    decode = msgspec.json.Decoder(Event).decode
    endless = chain.from_iterable(repeat(lines))
    for start in range(0, events, _BATCH_EVENTS):
        yield [decode(line) for line in islice(endless, min(_BATCH_EVENTS, events - start))]


async def measure(lines: Sequence[bytes], events: int, plugins: dict[str, list[Any]]) -> Flushed:
    """Flush so many events and return what that took."""
    sink = Sink()
    flush = worker(plugins, sink).flush_batch
    for plugin in chain.from_iterable(plugins.values()):
        if hasattr(plugin, "start"):
            await plugin.start()
    for batch in batches(lines, _WARM_UP_BATCHES * _BATCH_EVENTS):
        await flush(batch)
    sink.written = 0
    seconds = cpu_seconds = 0.0
    for batch in batches(lines, events):
        began, cpu_began = time.perf_counter(), time.process_time()
        await flush(batch)
        seconds += time.perf_counter() - began
        cpu_seconds += time.process_time() - cpu_began
    return Flushed(
        events=events,
        written=sink.written,
        last=sink.last.decode(),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


def main() -> int:
    """Measure once and say what came out."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers.fapilog_process", description=__doc__
    )
    parser.add_argument("--configuration", type=Path, required=True)
    parser.add_argument("--enrichers", nargs="*", default=[])
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("lines", type=Path, help="events, one a line")
    options = parser.parse_args()
    lines = options.lines.read_bytes().splitlines()
    plugins = stages(options.configuration, options.enrichers)
    flushed = asyncio.run(measure(lines, options.events, plugins))
    sys.stdout.buffer.write(msgspec.json.encode(flushed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
