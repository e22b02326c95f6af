"""Cut the settings into what each role is told."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ingest import logs
from ingest.contract import (
    AdminSpec,
    JournalSpec,
    LimitsSpec,
    ListenerKind,
    ListenerLimitsSpec,
    ListenerSpec,
    LogSpec,
    TlsSpec,
    WorkerSpec,
)

if TYPE_CHECKING:
    from ingest.config import Limits, ListenerLimits, ListenerTls, Settings
    from ingest.supervisor.boot import Resources
    from ingest.supervisor.deployment import BoundListener, Deployment

# A worker that cannot finish in time should say so itself, just before it would be killed.
_WORKER_SHARE_OF_DRAIN = 0.9
_MOVABLE_KINDS: tuple[ListenerKind, ...] = ("tcp", "unix_stream")

Number = TypeVar("Number", int, float, int | None, float | None)


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
        sources=resources.sources.fileno(),
        arena=resources.arenas[index].fileno(),
        lifeline=resources.lifeline,
        inbox=resources.inboxes[index].reader.fileno(),
        outboxes=tuple(inbox.writer.fileno() for inbox in resources.inboxes),
        data_dir=str(resources.data_directory.path),
        listeners=tuple(
            _listener_spec(settings, bound, at, index)
            for at, bound in enumerate(deployment.listeners)
            if _is_served(bound)
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
    shared = (spec.region, spec.sources, spec.arena, spec.lifeline, spec.inbox, *spec.outboxes)
    told = (*shared, spec.go, *listening)
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


def _is_served(bound: BoundListener) -> bool:
    """Say whether a worker may have anything to do with a listener.

    Of one that was removed, only connections that another worker can hand over live on.
    """
    return bound.group is not None or bound.configured.transport in _MOVABLE_KINDS


def _listener_spec(settings: Settings, bound: BoundListener, index: int, slot: int) -> ListenerSpec:
    group, configured = bound.group, bound.configured
    return ListenerSpec(
        index=index,
        name=bound.name,
        kind=configured.transport,
        address=bound.address,
        descriptor=group.sockets[slot].fileno() if group else None,
        format=configured.format,
        unparsed=configured.unparsed,
        time_zone=configured.time_zone,
        labels=configured.labels,
        allow=_networks(configured.allow),
        deny=_networks(configured.deny),
        proxies=_networks(configured.proxies),
        tls=_tls_spec(configured.tls),
        limits=_listener_limits_spec(configured.limits, settings.limits),
    )


def _networks(written: tuple[str, ...]) -> tuple[str, ...]:
    """Return networks in CIDR form, also those of one address."""
    return tuple(str(ip_network(network)) for network in written)


def _tls_spec(tls: ListenerTls | None) -> TlsSpec | None:
    if tls is None:
        return None
    return TlsSpec(
        certificate=str(Path(tls.certificate).absolute()),
        key=str(Path(tls.key).absolute()),
        client_ca=None if tls.client_ca is None else str(Path(tls.client_ca).absolute()),
        client_auth=tls.client_auth,
        minimum_version=tls.minimum_version,
    )


def _listener_limits_spec(own: ListenerLimits, common: Limits) -> ListenerLimitsSpec:
    """Return what a listener sets of its own, and of the rest what all are held to."""
    return ListenerLimitsSpec(
        line_bytes=_first(own.line_bytes, common.line_bytes),
        connections=own.connections,
        source_connections=_first(own.source_connections, common.source_connections),
        idle_seconds=_first(own.idle_timeout, common.idle_timeout),
        frame_seconds=_first(own.frame_timeout, common.frame_timeout),
        opening_seconds=_first(own.opening_timeout, common.opening_timeout),
        source_events_per_second=_first(
            own.source_events_per_second, common.source_events_per_second
        ),
        source_bytes_per_second=_first(own.source_bytes_per_second, common.source_bytes_per_second),
    )


def _first(own: Number | None, common: Number) -> Number:
    return common if own is None else own


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
        recompress_level=journal.recompress_level if journal.recompress == "idle" else None,
        queue_bytes=journal.queue_bytes,
    )


def _limits_spec(settings: Settings) -> LimitsSpec:
    limits = settings.limits
    return LimitsSpec(
        depth=limits.depth,
        keys=limits.keys,
        connections=limits.connections,
        partial_bytes=limits.partial_bytes,
    )
