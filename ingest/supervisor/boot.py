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
from ingest._native import Arena, Region, Sources
from ingest.contract import ReloadDescription, RunningServer, ServerDescription
from ingest.errors import BootError
from ingest.supervisor import inboxes
from ingest.supervisor.data_directory import DataDirectory
from ingest.supervisor.deployment import Deployment, OpenSockets, deploy

if TYPE_CHECKING:
    from contextlib import ExitStack
    from socket import socket

    from ingest.config import Settings
    from ingest.supervisor.inboxes import Inbox


_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Resources:
    """What the supervisor holds for as long as the server runs."""

    data_directory: DataDirectory
    sockets: OpenSockets
    admin: socket
    admin_address: str
    region: Region
    sources: Sources
    arenas: tuple[Arena, ...]
    """By slot."""
    inboxes: tuple[Inbox, ...]
    """By slot."""
    lifeline: int
    """Children inherit this reading end; its end of file tells them that the supervisor is gone."""

    def describe(
        self, deployment: Deployment, last_reload: ReloadDescription | None
    ) -> ServerDescription:
        """Return what a reader of the region is told about the server."""
        return _describe(deployment, str(self.data_directory.path), self.admin_address, last_reload)

    def publish(self, deployment: Deployment, last_reload: ReloadDescription | None) -> None:
        """Let readers of the region find a deployment; raise BootError where there is no room."""
        names = [one.name for one in deployment.listeners]
        description = self.describe(deployment, last_reload)
        try:
            self.region.publish(names, deployment.stages, contract.encode(description))
        except ValueError as error:
            raise BootError(f"{error}; the server needs a restart for that") from error

    def announce(self, deployment: Deployment) -> bool:
        """Let the other commands know where the server is; False while the disk is full."""
        listeners = (one.describe() for one in deployment.listeners)
        is_written = self.data_directory.announce(
            RunningServer(
                pid=os.getpid(),
                region_descriptor=self.region.fileno(),
                started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                version=ingest.__version__,
                admin=self.admin_address,
                listeners=tuple(one for one in listeners if one.bound),
            )
        )
        if not is_written:
            _log.error(
                "The disk is full: senders wait, and other commands do not find the server yet.",
                data_dir=str(self.data_directory.path),
            )
        return is_written


def acquire(settings: Settings, stack: ExitStack) -> tuple[Resources, Deployment]:
    """Take the data directory, the sockets and the shared memory, or raise BootError."""
    _raise_descriptor_limit()
    data_directory = DataDirectory(
        Path(settings.data_dir), patience_seconds=settings.supervision.drain_timeout
    )
    stack.callback(data_directory.release)
    opened = OpenSockets()
    stack.callback(opened.close)
    deployment = deploy(settings, opened, None, number=1)
    admin, admin_address = sockets.listen_on(settings.admin.address)
    stack.callback(admin.close)
    region, sources = _create_shared_memory(
        deployment, _describe(deployment, str(data_directory.path), admin_address, None)
    )
    arenas = _create_arenas(settings)
    of_slots = inboxes.create(settings.workers, stack)
    reader, writer = os.pipe()
    stack.callback(os.close, reader)
    stack.callback(os.close, writer)
    resources = Resources(
        data_directory, opened, admin, admin_address, region, sources, arenas, of_slots, reader
    )
    return resources, deployment


def _raise_descriptor_limit() -> None:
    """Allow as many connections as the system permits; the children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _describe(
    deployment: Deployment,
    data_dir: str,
    admin_address: str,
    last_reload: ReloadDescription | None,
) -> ServerDescription:
    return ServerDescription(
        version=ingest.__version__,
        data_dir=data_dir,
        workers=deployment.settings.workers,
        listeners=tuple(one.describe() for one in deployment.listeners),
        admin=admin_address,
        heartbeat_timeout_seconds=deployment.settings.supervision.heartbeat_timeout,
        last_reload=last_reload,
    )


def _create_arenas(settings: Settings) -> tuple[Arena, ...]:
    try:
        return tuple(Arena.create(settings.limits.arena_bytes) for _ in range(settings.workers))
    except (OSError, ValueError) as error:
        raise BootError(f"cannot make the memory of the workers: {error}") from error


def _create_shared_memory(
    deployment: Deployment, description: ServerDescription
) -> tuple[Region, Sources]:
    names, workers = [one.name for one in deployment.listeners], description.workers
    encoded = contract.encode(description)
    try:
        region = Region.create(workers, names, deployment.stages, encoded)
        return region, Sources.create(workers)
    except (OSError, ValueError) as error:
        raise BootError(f"cannot make the shared memory of the server: {error}") from error
