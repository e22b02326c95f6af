"""`python -m ingest.worker`: started by the supervisor, never by people."""

from __future__ import annotations

import os
import sys
import threading

from ingest import contract, logs
from ingest.contract import WorkerSpec
from ingest.errors import ExitStatus, IngestError
from ingest.worker.worker import run


def main() -> ExitStatus:
    """Run the worker that standard input describes; return its exit status."""
    spec = contract.decode(sys.stdin.buffer.read(), WorkerSpec)
    logs.configure(spec.log, role="worker", worker=spec.index)
    try:
        return run(spec)
    except IngestError as error:
        logs.get_logger(__name__).error("The worker stopped.", reason=str(error))
        return error.exit_status


if __name__ == "__main__":
    status = main()
    if threading.active_count() > 1:  # a plugin left a thread, which would keep the process alive
        logs.close()
        os._exit(status)
    sys.exit(status)
