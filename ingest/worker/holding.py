"""The holder of the worker: the process that keeps its connections when it is killed.

This module is imported before all others and imports nothing but the native module.
"""

from __future__ import annotations

from ingest._native import Holder


def start_holder() -> Holder | OSError:
    """Start the holder of this process; return why not where the machine does not permit it."""
    try:
        return Holder.start()
    except OSError as error:
        return error
