"""A filter whose start a test decides about, by files in the directory that `at` names."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.005


class Gated:
    """Waits in `start` while there is a file `closed`, and raises once `starts` has counted down.

    Whoever waits leaves a file with its process id, so that a test can wait for that.
    """

    name = "gated"

    def __init__(self, *, at: str) -> None:
        self._directory = Path(at)

    async def start(self) -> None:
        """Begin, if the test lets us."""
        waiting = self._directory / f"waiting-{os.getpid()}"
        while (self._directory / "closed").exists():
            waiting.touch()
            await asyncio.sleep(_POLL_SECONDS)
        starts = self._directory / "starts"
        if starts.exists():
            left = int(starts.read_text())
            if not left:
                raise RuntimeError("no start is left")
            starts.write_text(str(left - 1))

    async def filter(self, event: dict[str, Any]) -> dict[str, Any]:
        """Let everything through."""
        return event
