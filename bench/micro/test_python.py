"""What a batch costs that goes through Python: to objects and back, and a stage between."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro import events
from ingest.config.pipeline import Pipeline
from ingest.pipeline import segments
from ingest.pipeline.exchange import Origin, Outcome, StageCounts
from ingest.pipeline.host import PythonSegment

_RECEIVED_NS = 1_700_000_000_000_000_000


def test_decode_lines(benchmark: BenchmarkFixture) -> None:
    """Lines to dictionaries."""
    decoder, body = msgspec.json.Decoder(), events.by_line()
    assert len(benchmark(lambda: decoder.decode_lines(body))) == events.COUNT


def test_encode_lines(benchmark: BenchmarkFixture) -> None:
    """Dictionaries to lines."""
    encoder, body = msgspec.json.Encoder(), events.by_line()
    decoder = msgspec.json.Decoder()
    decoded: list[Any] = decoder.decode_lines(body)
    assert decoder.decode_lines(benchmark(lambda: encoder.encode_lines(decoded))) == decoded


def test_segment_in_python(benchmark: BenchmarkFixture) -> None:
    """The whole of a Python segment with one filter of fapilog's: decode, run, encode."""
    pipeline = Pipeline(filters=("level",), enrichers=(), redactors=(), executor="python")
    (stages,) = (each.stages for each in segments.segments(pipeline.spec()) if not each.native)
    host = PythonSegment(stages, _ignore)
    body = events.by_line()

    async def process() -> Outcome:
        return await host.process(body, [Origin(events.COUNT, "tcp", None, _RECEIVED_NS, 0)])

    with asyncio.Runner() as runner:
        runner.run(host.start())
        outcome = benchmark(lambda: runner.run(process()))
        runner.run(host.stop())
    assert len(outcome.verdicts) == events.COUNT


def _ignore(stage: int, counts: StageCounts) -> None:
    """Take the counts of a stage."""
