"""Tell faults of the server from those of plugins that share the event loop with it."""

from __future__ import annotations

_OWN_PACKAGE = "ingest"
_LOOP_PACKAGE = "uvloop"


def is_ours(error: BaseException) -> bool:
    """Say whether an exception came out of a callback or task of the server."""
    traceback = error.__traceback__
    while traceback is not None:
        package = str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0]
        if package != _LOOP_PACKAGE:  # which called it
            return package == _OWN_PACKAGE
        traceback = traceback.tb_next
    return False
