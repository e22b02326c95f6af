"""Take everything that can be refused before the first process is started.

What is taken is given back in the opposite order when the ExitStack ends, also half-way.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import ingest
from ingest import contract, logs, sockets
from ingest._native import Region, Sources
from ingest.contract import ListenerDescription, RunningServer, ServerDescription
from ingest.errors import BootError
from ingest.supervisor import inboxes
from ingest.supervisor.data_directory import DataDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from socket import socket

    from ingest.config import Settings
    from ingest.sockets import SocketGroup
    from ingest.supervisor.inboxes import Inbox

_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Resources:
    """What the supervisor holds for as long as the server runs."""

    data_directory: DataDirectory
    groups: tuple[SocketGroup, ...]
    """By listener, in the order of the settings."""
    admin: socket
    region: Region
    sources: Sources
    inboxes: tuple[Inbox, ...]
    """By slot."""
    lifeline: int
    """Children inherit this reading end; its end of file tells them that the supervisor is gone."""
    description: ServerDescription

    def announce(self) -> bool:
        """Let people and the other commands know where the server is; False while it cannot."""
        described = self.description
        if not self.data_directory.announce(
            RunningServer(
                pid=os.getpid(),
                region_descriptor=self.region.fileno(),
                started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                version=described.version,
                admin=described.admin,
                listeners=described.listeners,
            )
        ):
            _log.error(
                "The disk is full: senders wait, and other commands do not find the server yet.",
                data_dir=described.data_dir,
            )
            return False
        for listener in described.listeners:
            _log.info(
                "Listening.", listener=listener.name, kind=listener.kind, address=listener.address
            )
        _log.info(
            "Ready.",
            workers=described.workers,
            admin=described.admin,
            data_dir=described.data_dir,
        )
        return True

    def close_listeners(self) -> None:
        """Give up our copies of the listening sockets."""
        for group in self.groups:
            group.close()


def acquire(settings: Settings, stack: ExitStack) -> Resources:
    """Take the data directory, the sockets and the shared memory, or raise BootError."""
    _raise_descriptor_limit()
    data_directory = DataDirectory(
        Path(settings.data_dir), patience_seconds=settings.supervision.drain_timeout
    )
    stack.callback(data_directory.release)
    groups = tuple(_bind_listeners(settings, stack))
    admin, admin_address = sockets.listen_on(settings.admin.address)
    stack.callback(admin.close)
    description = ServerDescription(
        version=ingest.__version__,
        data_dir=str(data_directory.path),
        workers=settings.workers,
        listeners=tuple(
            ListenerDescription(name=str(listener.name), kind=group.kind, address=group.address)
            for listener, group in zip(settings.listeners, groups, strict=True)
        ),
        admin=admin_address,
        heartbeat_timeout_seconds=settings.supervision.heartbeat_timeout,
    )
    stages = [stage.name for stage in settings.pipeline.spec().stages]
    region, sources = _create_shared_memory(description, stages)
    inbox_of_slots = inboxes.create(settings.workers, stack)
    reader, writer = os.pipe()
    stack.callback(os.close, reader)
    stack.callback(os.close, writer)
    return Resources(
        data_directory, groups, admin, region, sources, inbox_of_slots, reader, description
    )


def _raise_descriptor_limit() -> None:
    """Allow as many connections as the system permits; the children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _bind_listeners(settings: Settings, stack: ExitStack) -> Iterator[SocketGroup]:
    for listener in settings.listeners:
        group = sockets.bind_group(
            listener.transport,
            listener.address,
            settings.workers,
            receive_buffer_bytes=settings.limits.udp_receive_buffer_bytes,
            gro=listener.gro,
            mode=listener.file_mode,
        )
        stack.callback(group.close)
        yield group


def _create_shared_memory(
    description: ServerDescription, stages: list[str]
) -> tuple[Region, Sources]:
    names = [listener.name for listener in description.listeners]
    try:
        region = Region.create(description.workers, names, stages, contract.encode(description))
        return region, Sources.create(description.workers)
    except (OSError, ValueError) as error:
        raise BootError(f"cannot make the shared memory of the server: {error}") from error
