"""Find the server that works on a data directory, and attach to its counters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ingest import contract
from ingest._native import Region
from ingest.contract import RunningServer
from ingest.errors import IngestError, NotRunningError


class Running(NamedTuple):
    """A running server: what it says of itself, and its counters."""

    server: RunningServer
    region: Region


def attach(data_dir: Path) -> Region:
    """Return the region of the running server."""
    return find(data_dir).region


def find(data_dir: Path) -> Running:
    """Return the running server.

    The server file names a process and one of its descriptors; opening that through /proc needs
    no socket and nothing of the server's attention.
    """
    server = _read_server_file(data_dir)
    try:
        descriptor = os.open(f"/proc/{server.pid}/fd/{server.region_descriptor}", os.O_RDWR)
    except PermissionError:
        raise IngestError(
            f"the server on {data_dir}, process {server.pid}, belongs to another user"
        ) from None
    except OSError:
        raise NotRunningError(
            f"no server is running on {data_dir}; process {server.pid} has ended"
        ) from None
    try:
        return Running(server, Region.attach(descriptor))
    except ValueError:
        raise IngestError(
            f"the server on {data_dir} is of version {server.version}, which this command"
            " cannot read; use the command it came with"
        ) from None
    except OSError:  # the process id was given to another program
        raise NotRunningError(f"no server is running on {data_dir}") from None
    finally:
        os.close(descriptor)


def _read_server_file(data_dir: Path) -> RunningServer:
    file = contract.server_file(data_dir)
    try:
        return contract.decode(file.read_bytes(), RunningServer)
    except FileNotFoundError:
        raise NotRunningError(
            f"no server is running on {data_dir}; start one: ingest serve --data-dir {data_dir}"
        ) from None
    except OSError as error:
        raise NotRunningError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise IngestError(f"{file}: is not the file of a server of this version: {error}") from None
