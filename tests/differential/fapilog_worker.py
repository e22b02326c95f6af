"""fapilog's `LoggerWorker` itself, for what it does around its plugins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import orjson
from fapilog.core.concurrency import DualQueue
from fapilog.core.serialization import SerializedView
from fapilog.core.worker import LoggerWorker

from ingest.contract import StageKind
from ingest.pipeline.contracts import Event, Plugin


class Worker:
    """A worker with some plugins, and what came out of it."""

    def __init__(
        self,
        *,
        fail_mode: Literal["open", "closed", "warn"] = "warn",
        serialize: bool = False,
        **plugins: Sequence[Plugin],
    ) -> None:
        self.written: list[Event] = []
        self.stored: list[bytes] = []

        def of(kind: StageKind) -> Sequence[Plugin]:
            return plugins.get(f"{kind}s", ())

        self._worker = LoggerWorker(
            queue=DualQueue(9, 9, frozenset()),
            batch_max_size=100,
            batch_timeout_seconds=0.1,
            sink_write=self._write,
            sink_write_serialized=self._write_serialized if serialize else None,
            filters_getter=lambda: of("filter"),
            enrichers_getter=lambda: of("enricher"),
            redactors_getter=lambda: of("redactor"),
            processors_getter=lambda: of("processor"),
            metrics=None,
            serialize_in_flush=serialize,
            strict_envelope_mode_provider=lambda: False,
            stop_flag=lambda: True,
            drained_event=None,
            flush_event=None,
            flush_done_event=None,
            emit_enricher_diagnostics=False,
            emit_redactor_diagnostics=False,
            counters={"processed": 0, "dropped": 0},
            redaction_fail_mode=fail_mode,
        )

    def flush(self, *events: Event) -> list[Event]:
        """Put events through the pipeline; return those that are written by now."""
        asyncio.run(self._worker.flush_batch(list(events)))
        return self.written or [orjson.loads(line) for line in self.stored]

    async def _write(self, event: dict[str, Any]) -> None:
        self.written.append(event)

    async def _write_serialized(self, view: SerializedView) -> None:
        self.stored.append(bytes(view.data))
