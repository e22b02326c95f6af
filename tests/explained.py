"""What `ingest check --explain` prints for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ingest.errors import ExitStatus
from tests.harness import run_command


def explained(file: Path, text: str, *lines: bytes) -> list[dict[str, Any]]:
    """Return what the program prints as JSON."""
    file.write_text(text)
    done = run_command(
        "check", "--config", file, "--explain", "-", "--json", stdin=b"\n".join(lines)
    )
    assert done.returncode == ExitStatus.CLEAN, done.stderr.decode()
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def stage(explanation: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what is said of the stage of that name."""
    found: dict[str, Any] = next(at for at in explanation["stages"] if at["name"] == name)
    return found
