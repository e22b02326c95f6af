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

# A worker that cannot finish in time should say so itself, just before it would be killed.
_WORKER_SHARE_OF_DRAIN = 0.9


def worker_spec(
    settings: Settings, resources: Resources, index: int, generation: int
) -> WorkerSpec:
    """Return what the worker of slot `index` has to know."""
    return WorkerSpec(
        index=index,
        generation=generation,
        region=resources.region.fileno(),
        lifeline=resources.lifeline,
        inbox=resources.inboxes[index].reader.fileno(),
        outboxes=tuple(inbox.writer.fileno() for inbox in resources.inboxes),
        data_dir=resources.description.data_dir,
        listeners=tuple(
            _listener_spec(settings, resources, at, index) for at in range(len(resources.groups))
        ),
        journal=_journal_spec(settings),
        limits=_limits_spec(settings),
        pipeline=settings.pipeline.spec(),
        heartbeat_seconds=settings.supervision.heartbeat_interval,
        drain_seconds=settings.supervision.drain_timeout * _WORKER_SHARE_OF_DRAIN,
        log=log_spec(settings),
    )


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


def _listener_spec(
    settings: Settings, resources: Resources, listener: int, slot: int
) -> ListenerSpec:
    group, limits = resources.groups[listener], settings.limits
    return ListenerSpec(
        index=listener,
        name=resources.description.listeners[listener].name,
        kind=group.kind,
        address=group.address,
        descriptor=group.sockets[slot].fileno(),
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
