"""Have events explained by the process that may import fapilog and the plugins.

It finds plugins as a worker does, and what they print or break stays there.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import msgspec

from ingest import children
from ingest.contract import PipelineSpec
from ingest.errors import BootError, IngestError
from ingest.explain.report import RECURSION_LIMIT, Answer, Explanation, Request

_MODULE = "ingest.explain"
_START_SECONDS = 60.0
_EVENT_SECONDS = 1.0
"""A plugin that exceeds its budget is interrupted; this is for those that nothing interrupts."""


def explain(
    pipeline: PipelineSpec,
    runs: Sequence[Sequence[bytes]],
    *,
    line_bytes: int,
    depth: int,
    keys: int,
) -> tuple[tuple[Explanation, ...], ...]:
    """Return an explanation for every line of every run, each run through a pipeline of its own.

    Raises BootError where the server would not start, IngestError where the process ends early.
    """
    request = Request(pipeline, line_bytes, depth, keys, tuple(map(tuple, runs)))
    seconds = _START_SECONDS + _EVENT_SECONDS * sum(map(len, runs))
    try:
        done = subprocess.run(
            children.command(_MODULE),
            input=msgspec.json.encode(request),
            stdout=subprocess.PIPE,
            env=children.environment(),
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise IngestError(f"the pipeline took longer than {seconds:g} seconds") from None
    if not done.stdout:
        end = children.describe_exit(done.returncode)
        raise IngestError(f"the process that ran the pipeline ended with {end}")
    sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION_LIMIT))
    answer = msgspec.json.decode(done.stdout, type=Answer)
    if answer.refusal is not None:
        raise BootError(answer.refusal)
    return answer.runs
