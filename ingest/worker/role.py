"""The role of a worker: what it is told, how it ends."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

from ingest import contract, logs
from ingest._native import Holder
from ingest.contract import WorkerSpec
from ingest.errors import ExitStatus, IngestError
from ingest.worker.worker import run


def main(holder: Holder | OSError) -> NoReturn:
    """Be the worker that standard input describes; exit with its status."""
    spec = contract.decode(sys.stdin.buffer.read(), WorkerSpec)
    logs.configure(spec.log, role="worker", worker=spec.index)
    if isinstance(holder, OSError):
        logs.get_logger(__name__).warning(
            "Connections of a worker that is killed will be reset: nobody can hold them.",
            reason=str(holder),
        )
    status = _run(spec, None if isinstance(holder, OSError) else holder)
    if threading.active_count() > 1:  # a plugin left a thread, which would keep the process alive
        logs.close()
        os._exit(status)
    sys.exit(status)


def _run(spec: WorkerSpec, holder: Holder | None) -> ExitStatus:
    try:
        return run(spec, holder)
    except IngestError as error:
        logs.get_logger(__name__).error("The worker stopped.", reason=str(error))
        return error.exit_status
