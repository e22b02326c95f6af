"""Servers whose pipeline runs the plugins of `mischief`, and what they say of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingest.counters import StageStatus
from tests.harness import Server

KINDS = {
    "filter": "mischief:Filter",
    "enricher": "mischief:Enricher",
    "redactor": "mischief:Redactor",
    "processor": "mischief:Processor",
}
PATIENT = "60s"
"""A budget that no event of a test takes up."""
ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parent),
    "INGEST_JOURNAL__COMPRESSION": "none",
    "INGEST_SUPERVISION__HEARTBEAT_INTERVAL": "20ms",
    "INGEST_SUPERVISION__HEARTBEAT_TIMEOUT": "200s",
}


def table(
    *,
    filters: Sequence[str] = (),
    enrichers: Sequence[str] = (),
    redactors: Sequence[str] = (),
    processors: Sequence[str] = (),
    policy: Mapping[str, object] | None = None,
    **more: object,
) -> str:
    """Return `[pipeline]`; the policy is the same for all stages that run in Python."""
    stages = {
        "filters": filters,
        "enrichers": enrichers,
        "redactors": redactors,
        "processors": processors,
    }
    foreign = [name for names in stages.values() for name in names if ":" in name]
    return json.dumps({**stages, "policy": dict.fromkeys(foreign, policy or {}), **more})


def all_kinds(policy: Mapping[str, object] | None = None, **more: object) -> str:
    """Return `[pipeline]` with a plugin of every kind."""
    names = iter(KINDS.values())
    return table(
        filters=[next(names)],
        enrichers=[next(names)],
        redactors=[next(names)],
        processors=[next(names)],
        policy=policy,
        **more,
    )


@contextmanager
def plugin_server(
    data_dir: Path,
    pipeline: str,
    environment: Mapping[str, str] | None = None,
    *,
    workers: int = 1,
    restarts: int = 0,
) -> Iterator[Server]:
    """Yield a server with such a pipeline; fail where its workers did not live as long as it."""
    with Server(
        data_dir,
        workers=workers,
        pipeline=pipeline,
        environment={**ENVIRONMENT, **(environment or {})},
    ) as server:
        yield server
        assert sum(worker.restarts for worker in server.status().workers) == restarts


def event(number: int, **data: object) -> dict[str, Any]:
    """Return an event that says what plugins are to do with it."""
    return {"connection": 0, "number": number, "data": data}


def line(number: int, **data: object) -> bytes:
    """Return such an event as a sender writes it."""
    return json.dumps(event(number, **data)).encode()


def stage(server: Server, name: str) -> StageStatus:
    """Return the counters of a stage."""
    return next(found for found in server.status().stages if found.name == name)
