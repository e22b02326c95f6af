"""Everything that can go wrong on purpose, and what the process exits with.

This module imports nothing of the project, so that every layer may raise from it.
"""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What `ingest` tells its caller when it ends; promised in the documentation."""

    CLEAN = 0
    """Everything asked for was done."""
    UNEXPECTED = 1
    """Something failed that has no status of its own; `verify` found damage."""
    USAGE = 2
    """The command line was wrong."""
    BOOT = 3
    """The server could not start: a port is taken, the data directory is in use or not writable."""
    CONFIGURATION = 4
    """The configuration is wrong; the message names the place."""
    LOST = 5
    """The server stopped, but something it had received was lost."""


class IngestError(Exception):
    """A fault with a message made for people: one line, shown without a traceback."""

    exit_status: ExitStatus = ExitStatus.UNEXPECTED


class ConfigurationError(IngestError):
    """The configuration cannot be used; the message names the source, the key and the remedy."""

    exit_status = ExitStatus.CONFIGURATION


class BootError(IngestError):
    """The server cannot start where it was told to."""

    exit_status = ExitStatus.BOOT


class NotRunningError(IngestError):
    """No server is running on this data directory."""


class NotDurableError(IngestError):
    """A worker ended before a request's events were durable: it must not be acknowledged."""


class SendError(IngestError):
    """Events could not be sent to the server."""
