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
from ingest.contract import (
    PreviousServer,
    RegionNote,
    ReloadDescription,
    RunningServer,
    ServerDescription,
)
from ingest.errors import BootError, IngestError
from ingest.supervisor import inboxes, previous_server, region_file
from ingest.supervisor.data_directory import DataDirectory
from ingest.supervisor.deployment import Deployment, OpenSockets, deploy

if TYPE_CHECKING:
    from contextlib import ExitStack
    from socket import socket
    from types import TracebackType

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
    note: RegionNote
    previous: PreviousServer | None
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
        return _describe(
            deployment,
            str(self.data_directory.path),
            self.admin_address,
            last_reload,
            self.previous,
        )

    def publish(self, deployment: Deployment, last_reload: ReloadDescription | None) -> None:
        """Let readers of the region find a deployment; raise BootError where there is no room."""
        names = [one.name for one in deployment.listeners]
        description = self.describe(deployment, last_reload)
        try:
            self.region.publish(names, deployment.stages, contract.encode(description))
        except ValueError as error:
            raise BootError(f"{error}; the server needs a restart for that") from error

    def announce(self, deployment: Deployment) -> bool:
        """Let the other commands know where the server is; False while the disk is full.

        The next server learns by then where our counters are, if the disk was full at the start.
        """
        listeners = (one.describe() for one in deployment.listeners)
        is_written = self.data_directory.note_region(self.note) and self.data_directory.announce(
            RunningServer(
                pid=os.getpid(),
                region_descriptor=self.region.fileno(),
                started_at=_now(),
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

    def withdraw(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Remove note and file of the region, unless the next server has to settle it."""
        is_in_order = error is None or isinstance(error, IngestError)
        if not (is_in_order and self._is_settled()):
            return
        try:
            self.data_directory.forget_region()
        except BootError as failure:
            _log.warning("The next start will call this server killed.", reason=str(failure))
        if self.note.file:
            region_file.remove(self.note.file)

    def _is_settled(self) -> bool:
        ledgers = (
            self.region.ledger(worker, listener)
            for worker in range(self.region.workers)
            for listener in range(len(self.region.listeners))
        )
        return not any(ledger.in_flight for ledger in ledgers)


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
    arenas = _create_arenas(settings)
    of_slots = inboxes.create(settings.workers, stack)
    reader, writer = os.pipe()
    stack.callback(os.close, reader)
    stack.callback(os.close, writer)
    remains = previous_server.settle(data_directory)
    previous = remains.server if remains else None
    region, file, sources = _create_shared_memory(
        deployment, _describe(deployment, str(data_directory.path), admin_address, None, previous)
    )
    note = RegionNote(
        file=file,
        boot_id=previous_server.boot_id(),
        directory_inode=data_directory.inode,
        started_at=_now(),
    )
    resources = Resources(
        data_directory,
        opened,
        admin,
        admin_address,
        region,
        note,
        previous,
        sources,
        arenas,
        of_slots,
        reader,
    )
    stack.push(resources.withdraw)
    data_directory.note_region(note)
    if remains and remains.file:
        region_file.remove(remains.file)
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
    previous: PreviousServer | None,
) -> ServerDescription:
    return ServerDescription(
        version=ingest.__version__,
        data_dir=data_dir,
        workers=deployment.settings.workers,
        listeners=tuple(one.describe() for one in deployment.listeners),
        admin=admin_address,
        heartbeat_timeout_seconds=deployment.settings.supervision.heartbeat_timeout,
        last_reload=last_reload,
        previous_server=previous,
    )


def _create_arenas(settings: Settings) -> tuple[Arena, ...]:
    try:
        return tuple(Arena.create(settings.limits.arena_bytes) for _ in range(settings.workers))
    except (OSError, ValueError) as error:
        raise BootError(f"cannot make the memory of the workers: {error}") from error


def _create_shared_memory(
    deployment: Deployment, description: ServerDescription
) -> tuple[Region, str | None, Sources]:
    names, workers = [one.name for one in deployment.listeners], description.workers
    encoded = contract.encode(description)
    try:
        sources = Sources.create(workers)
        region, file = region_file.create(
            lambda file: Region.create(workers, names, deployment.stages, encoded, file=file)
        )
    except (OSError, ValueError) as error:
        raise BootError(f"cannot make the shared memory of the server: {error}") from error
    if previous := description.previous_server:
        region.set(None, "ingest_previous_server_lost_events", previous.lost or 0)
        region.set(None, "ingest_previous_server_loss_unknown", int(previous.lost is None))
    return region, file, sources


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
