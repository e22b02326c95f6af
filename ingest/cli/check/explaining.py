"""Ask for explanations with the settings of a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingest.explain.process import explain
from ingest.explain.report import Explanation

if TYPE_CHECKING:
    from ingest.config import Settings


def explain_events(
    settings: Settings, runs: Sequence[Sequence[bytes]]
) -> tuple[tuple[Explanation, ...], ...]:
    """Return what the pipeline does to events; each run has a pipeline of its own."""
    return explain(
        settings.pipeline.spec(),
        runs,
        line_bytes=settings.limits.line_bytes,
        depth=settings.limits.depth,
        keys=settings.limits.keys,
    )
