"""A server with a configuration that a test changes while it runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.harness import Server, run_command

Tables = Mapping[str, Any]

TCP = {"kind": "tcp", "address": "127.0.0.1:0", "name": "in"}
UDP = {"kind": "udp", "address": "127.0.0.1:0", "name": "datagrams"}
MORE = {"kind": "tcp", "address": "127.0.0.1:0", "name": "more"}
PLAIN: Tables = {"enrichers": [], "redactors": []}
ONLY_ERRORS: Tables = {
    **PLAIN,
    "filters": ["level"],
    "config": {"level": {"min_level": "ERROR"}},
}


def gated(directory: Path) -> Tables:
    """Return `[pipeline]` with the filter of `gated`."""
    return {
        **PLAIN,
        "filters": ["gated:Gated"],
        "config": {"gated:Gated": {"at": str(directory)}},
        "policy": {"gated:Gated": {"fail": "closed"}},
    }


class ReloadingServer(Server):
    """Reads its listeners and its pipeline from a file."""

    def __init__(self, directory: Path, *, environment: Mapping[str, str] | None = None) -> None:
        """Start with a TCP and a UDP listener and a pipeline without stages."""
        self.file = directory / "ingest.toml"
        super().__init__(
            directory / "data",
            pipeline=None,
            environment={"PYTHONPATH": str(Path(__file__).parent), **(environment or {})},
            arguments=("--config", str(self.file)),
        )
        self.configure()

    def configure(
        self, *, listeners: Sequence[Tables] = (TCP, UDP), pipeline: Tables = PLAIN, **more: object
    ) -> Self:
        """Write the file anew."""
        tables = {"listeners": list(listeners), "pipeline": pipeline, **more}
        # Of TOML, the values are written like JSON where they are no tables.
        draft = self.file.with_suffix(".draft")
        draft.write_text("".join(f"{key} = {_inline(value)}\n" for key, value in tables.items()))
        draft.replace(self.file)
        return self

    def reload(self) -> subprocess.CompletedProcess[bytes]:
        """Run `ingest reload`."""
        return run_command("reload", "--data-dir", self.data_dir)

    def pids(self) -> list[int]:
        """Return the process ids of the workers, all of which are ready."""
        found = [self.worker_pid(index) for index in range(self.region.workers)]
        assert None not in found
        return [pid for pid in found if pid]

    def reloads(self, result: str) -> int:
        """Return how many reloads have ended in this way."""
        return self.region.get(None, "ingest_reloads_total", label=result)

    def children(self) -> set[int]:
        """Return all processes of the server but the supervisor and the holders."""
        tasks = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        found = [int(child) for child in tasks.read_text().split()]
        names = [Path(f"/proc/{child}/comm").read_text() for child in found]
        return {child for child, name in zip(found, names, strict=True) if "holder" not in name}

    def address_of(self, name: str) -> tuple[str, int]:
        """Return where a listener is bound."""
        found = next(one for one in self.running().listeners if one.name == name)
        host, _, port = found.address.rpartition(":")
        return host, int(port)


def waiting(directory: Path) -> list[int]:
    """Return the processes that wait at the gate."""
    found = (int(file.name.rpartition("-")[2]) for file in directory.glob("waiting-*"))
    return [pid for pid in found if Path(f"/proc/{pid}").exists()]


def _inline(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}" = {_inline(at)}' for key, at in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)
