"""Cut the settings into what each role is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest import logs
from ingest.contract import (
    AdminSpec,
    JournalSpec,
    LimitsSpec,
    ListenerLimitsSpec,
    ListenerSpec,
    LogSpec,
    WorkerSpec,
)

if TYPE_CHECKING:
    from ingest.config import Settings
    from ingest.supervisor.boot import Resources
    from ingest.supervisor.deployment import BoundListener, Deployment

# A worker that cannot finish in time should say so itself, just before it would be killed.
_WORKER_SHARE_OF_DRAIN = 0.9


def worker_spec(
    deployment: Deployment,
    resources: Resources,
    index: int,
    generation: int,
    go: int | None = None,
) -> WorkerSpec:
    """Return what the worker of slot `index` has to know; with `go`, as a successor."""
    settings = deployment.settings
    return WorkerSpec(
        index=index,
        generation=generation,
        region=resources.region.fileno(),
        lifeline=resources.lifeline,
        data_dir=str(resources.data_directory.path),
        listeners=tuple(
            _listener_spec(settings, bound, at, index)
            for at, bound in enumerate(deployment.listeners)
        ),
        journal=_journal_spec(settings),
        limits=_limits_spec(settings),
        pipeline=deployment.pipeline(),
        heartbeat_seconds=settings.supervision.heartbeat_interval,
        drain_seconds=settings.supervision.drain_timeout * _WORKER_SHARE_OF_DRAIN,
        go=go,
        log=log_spec(settings),
    )


def descriptors(spec: WorkerSpec) -> list[int]:
    """Return the descriptors that a worker inherits by its spec."""
    listening = (one.descriptor for one in spec.listeners)
    told = (spec.region, spec.lifeline, spec.go, *listening)
    return [descriptor for descriptor in told if descriptor is not None]


def admin_spec(settings: Settings, resources: Resources) -> AdminSpec:
    """Return what the admin role has to know."""
    return AdminSpec(
        descriptor=resources.admin.fileno(),
        region=resources.region.fileno(),
        lifeline=resources.lifeline,
        log=log_spec(settings),
    )


def log_spec(settings: Settings) -> LogSpec:
    """Return how every process of the server logs."""
    return LogSpec(level=settings.log.level, format=logs.choose_format(settings.log.format))


def _listener_spec(settings: Settings, bound: BoundListener, index: int, slot: int) -> ListenerSpec:
    group, configured, limits = bound.group, bound.configured, settings.limits
    return ListenerSpec(
        index=index,
        name=bound.name,
        kind=configured.kind,
        address=bound.address,
        descriptor=group.sockets[slot].fileno() if group else None,
        format="json",
        unparsed="dead_letter",
        time_zone="UTC",
        labels={},
        allow=(),
        deny=(),
        proxies=(),
        tls=None,
        limits=ListenerLimitsSpec(
            line_bytes=limits.line_bytes,
            connections=None,
            source_connections=None,
            idle_seconds=None,
            frame_seconds=None,
            opening_seconds=10.0,
            source_events_per_second=None,
            source_bytes_per_second=None,
        ),
    )


def _journal_spec(settings: Settings) -> JournalSpec:
    journal = settings.journal
    return JournalSpec(
        compression=journal.compression,
        level=journal.level,
        sync_interval_seconds=journal.sync_interval,
        segment_bytes=journal.segment_bytes,
        segment_age_seconds=journal.segment_age,
        retention_bytes=journal.retention_bytes,
        retention_age_seconds=journal.retention_age,
        queue_bytes=journal.queue_bytes,
    )


def _limits_spec(settings: Settings) -> LimitsSpec:
    limits = settings.limits
    return LimitsSpec(
        depth=limits.depth,
        keys=limits.keys,
        connections=limits.connections,
        arena_bytes=limits.arena_bytes,
    )
