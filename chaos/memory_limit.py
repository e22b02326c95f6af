"""A control group with little memory, by either version of the kernel's interface."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from chaos.fault import Unavailable

_ROOT = Path("/sys/fs/cgroup")


class MemoryLimit:
    """Use it in a `with` statement; whoever is confined has to be gone at its end."""

    def __init__(self) -> None:
        """Make the group; raise Unavailable where we may not."""
        parent, self._limit = _find()
        try:
            self._group = Path(tempfile.mkdtemp(prefix="chaos-", dir=parent))
        except OSError as error:
            raise Unavailable(f"no control group can be made: {error.strerror}") from error
        if not (self._group / self._limit).exists():
            self.close()
            raise Unavailable("control groups do not limit memory here")

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def confine(self, pid: int, limit_bytes: int) -> None:
        """Let a process allocate so much from now on; what it has already is not counted."""
        (self._group / self._limit).write_text(str(limit_bytes))
        (self._group / "cgroup.procs").write_text(str(pid))

    def close(self) -> None:
        """Remove the group."""
        with suppress(FileNotFoundError):
            os.rmdir(self._group)  # noqa: PTH106 - its files go with it


def _find() -> tuple[Path, str]:
    if (_ROOT / "memory").is_dir():
        return _ROOT / "memory", "memory.limit_in_bytes"
    return _ROOT, "memory.max"
