"""Servers that leave something out, for the difference: syncs, or all that a journal writes.

They are the same program at the same settings; a C source of ours takes the place of a few
functions of the C library, and of nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path

from bench.parameters import Parameters
from bench.server import FailedRunError
from chaos import preload
from chaos.fault import Unavailable

_NO_SYNC = Path(__file__).parent / "no_sync.c"
_NO_JOURNAL = Path(__file__).parent / "no_journal.c"


def environment(parameters: Parameters) -> dict[str, str]:
    """Return what a server has in its environment beside our own."""
    sources = []
    if parameters.sync == "off":
        sources.append(_NO_SYNC)
    if parameters.journal == "off":
        sources.append(_NO_JOURNAL)
    if not sources:
        return {}
    try:
        return {"LD_PRELOAD": " ".join(os.fspath(preload.library(source)) for source in sources)}
    except Unavailable as reason:
        raise FailedRunError(str(reason)) from reason
