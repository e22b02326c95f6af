"""`ingest reload`: have the running server read its configuration again, and say how that ended."""

from __future__ import annotations

import os
import select
import signal

import typer

from ingest import contract
from ingest.cli.options import DEFAULT_DATA_DIR, DataDir
from ingest.cli.running import find
from ingest.contract import ReloadDescription, ServerDescription
from ingest.errors import ExitStatus, IngestError, NotRunningError

_POLL_MILLISECONDS = 50
_EXIT_STATUSES = {
    "applied": ExitStatus.CLEAN,
    "unchanged": ExitStatus.CLEAN,
    "refused": ExitStatus.CONFIGURATION,
    "failed": ExitStatus.UNEXPECTED,
}


def reload(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Have the running server read its configuration again, and wait for the outcome.

    The server reads the file, the variables and the flags that it was started with, and replaces
    its workers one by one. What it refuses changes nothing; `ingest check` tells that beforehand.
    """
    outcome = _reload(data_dir)
    typer.echo(f"{outcome.result}: {outcome.message}", err=outcome.result in {"refused", "failed"})
    raise typer.Exit(_EXIT_STATUSES[outcome.result])


def _reload(data_dir: DataDir) -> ReloadDescription:
    server, region = find(data_dir)
    asked = region.get(None, "ingest_reload_requests")
    try:
        process = os.pidfd_open(server.pid)
        signal.pidfd_send_signal(process, signal.SIGHUP)
    except ProcessLookupError:
        raise NotRunningError(f"no server is running on {data_dir}") from None
    poll = select.poll()
    poll.register(process, select.POLLIN)  # when it has ended
    while region.get(None, "ingest_reload_answered") <= asked:
        if poll.poll(_POLL_MILLISECONDS):
            raise IngestError("the server has ended before it answered")
    region.refresh()
    outcome = contract.decode(region.descriptor, ServerDescription).last_reload
    if outcome is None:
        raise IngestError("the server has answered, but not how; its log says so")
    return outcome
