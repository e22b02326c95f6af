"""`python -m ingest.explain`: run events through a pipeline, in a process of its own.

Reads a request from standard input and answers on standard output (see `ingest.explain.report`).
Whatever plugins print goes to standard error.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import msgspec

from ingest import logs
from ingest.contract import LogSpec
from ingest.errors import BootError
from ingest.explain.pipeline import ExplainedPipeline
from ingest.explain.report import RECURSION_LIMIT, Answer, Explanation, Request


def main() -> None:
    """Answer the request."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.setrecursionlimit(RECURSION_LIMIT)
    logs.configure(LogSpec(level="WARNING", format=logs.choose_format("auto")))
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    with answers:
        answers.write(msgspec.json.encode(asyncio.run(answer(request))))
    if threading.active_count() > 1:  # a plugin left a thread, which would keep the process alive
        os._exit(0)


async def answer(request: Request) -> Answer:
    """Return the explanations that are asked for."""
    runs = []
    for lines in request.runs:
        pipeline = ExplainedPipeline(request)
        try:
            await pipeline.start()
            runs.append(await _explain(pipeline, lines))
        except BootError as error:
            return Answer(refusal=str(error))
        finally:
            await pipeline.stop()
    return Answer(tuple(runs))


async def _explain(
    pipeline: ExplainedPipeline, lines: tuple[bytes, ...]
) -> tuple[Explanation, ...]:
    return tuple([await pipeline.explain(line) for line in lines])


if __name__ == "__main__":
    main()
