"""What a server left that did not stop in order: its counters are settled with its journals.

That is done before the next server has counters of its own, and before its workers write to the
journals: what the old counters call received is either found there or lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingest import counters, logs
from ingest._native import Region, recover_worker
from ingest.contract import PreviousServer
from ingest.supervisor import region_file

if TYPE_CHECKING:
    from ingest.contract import RegionNote
    from ingest.supervisor.data_directory import DataDirectory

_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Remains:
    """What became of a server, and the file of its region, which nobody needs any more."""

    server: PreviousServer
    file: str | None


class _UnknownLossError(Exception):
    """Why it is not known how many events were lost."""


def boot_id() -> str:
    """Return what tells one run of the machine from another."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def settle(
    data_directory: DataDirectory, directory: Path = region_file.DIRECTORY
) -> Remains | None:
    """Say what the server before this one lost, in the log too; None where it stopped in order.

    Nothing is removed, so that whoever is stopped half-way can do it again.
    """
    try:
        note = data_directory.noted_region()
    except ValueError as error:
        return Remains(_unknown(None, f"its note cannot be read: {error}"), None)
    if note is None:
        return None
    if note.directory_inode != data_directory.inode:
        # The server of the original may be running.
        return Remains(_unknown(note, "this data directory is a copy of its own"), None)
    try:
        return Remains(_account(note, data_directory.path, directory), note.file)
    except _UnknownLossError as error:
        return Remains(_unknown(note, str(error)), note.file)


def _account(note: RegionNote, data_dir: Path, directory: Path) -> PreviousServer:
    region = _find(note, directory)
    for worker in range(region.workers):
        try:
            notes = recover_worker(region, worker, str(data_dir)).notes
        except (OSError, ValueError, RuntimeError) as error:
            raise _UnknownLossError(f"the journals of worker {worker}: {error}") from error
        for text in notes:
            _log.warning("The journal was repaired.", worker=worker, reason=text)
    workers, listeners = range(region.workers), region.listeners
    ledgers = [
        counters.add_up(region.ledger(worker, at) for worker in workers)
        for at in range(len(listeners))
    ]
    if not all(ledger.closed and not ledger.in_flight for ledger in ledgers):
        raise _UnknownLossError("its counters contradict each other")
    lost = 0
    for name, ledger in zip(listeners, ledgers, strict=True):
        of_listener = sum(ledger.lost.values())
        lost += of_listener
        if of_listener:
            _log.warning(
                "The server before this one was killed with events that it had not stored.",
                listener=name,
                received=ledger.received,
                journaled=ledger.journaled,
                filtered=ledger.filtered,
                dead_lettered=ledger.dead_lettered,
                dropped=sum(ledger.dropped.values()),
                lost=of_listener,
            )
    received = sum(ledger.received for ledger in ledgers)
    _log.warning(
        "The server before this one did not stop in order.",
        started_at=note.started_at,
        received=received,
        lost=lost,
    )
    return PreviousServer(started_at=note.started_at, received=received, lost=lost, reason=None)


def _find(note: RegionNote, directory: Path) -> Region:
    if note.boot_id != boot_id():
        raise _UnknownLossError("the machine was started again")
    if note.file is None:
        raise _UnknownLossError("its counters had no file")
    try:
        return region_file.read(note.file, directory)
    except FileNotFoundError:
        raise _UnknownLossError(f"its counters are gone from {directory}") from None
    except (OSError, ValueError) as error:
        raise _UnknownLossError(f"{directory / note.file}: {error}") from error


def _unknown(note: RegionNote | None, reason: str) -> PreviousServer:
    started_at = note.started_at if note else None
    _log.warning(
        "The server before this one did not stop in order. How many events it lost is not known:"
        " at most what it received since its last sync.",
        started_at=started_at,
        reason=reason,
    )
    return PreviousServer(started_at=started_at, received=None, lost=None, reason=reason)
