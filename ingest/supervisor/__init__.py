"""The supervisor: takes what the server needs, keeps its processes running, stops them in order."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from ingest import logs
from ingest.supervisor import specs
from ingest.supervisor.arbiter import Arbiter
from ingest.supervisor.boot import acquire

if TYPE_CHECKING:
    from ingest.config import Settings
    from ingest.errors import ExitStatus

__all__ = ["run"]


def run(settings: Settings) -> ExitStatus:
    """Run the server in this process until it is told to stop; return what to exit with.

    Raises BootError or ConfigurationError where it cannot start.
    """
    logs.configure(specs.log_spec(settings), role="supervisor")
    with ExitStack() as stack:
        return Arbiter(settings, acquire(settings, stack)).run()
