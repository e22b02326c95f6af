"""The supervisor: takes what the server needs, keeps its processes running, stops them in order."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ingest import logs
from ingest.supervisor import specs
from ingest.supervisor.arbiter import Arbiter
from ingest.supervisor.boot import acquire
from ingest.supervisor.signals import SignalQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.config import Settings
    from ingest.errors import ExitStatus

__all__ = ["run"]


def run(load: Callable[[], Settings]) -> ExitStatus:
    """Run the server in this process until it is told to stop; return what to exit with.

    The settings are loaded at the start and again when that is asked for. Raises BootError or
    ConfigurationError where the server cannot start.
    """
    settings = load()
    logs.configure(specs.log_spec(settings), role="supervisor")
    with ExitStack() as stack:
        # First, so that a request to stop is kept while the server still starts: as PID 1 the
        # kernel would drop it.
        signals = stack.enter_context(
            SignalQueue(
                signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD
            )
        )
        resources, deployment = acquire(settings, stack)
        return Arbiter(load, deployment, resources, signals).run()
