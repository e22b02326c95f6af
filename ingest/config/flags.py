"""Which flag of the command line sets which key of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

FLAG_OF_KEY = {
    ("data_dir",): "--data-dir",
    ("workers",): "--workers",
    ("admin", "address"): "--admin",
    ("log", "level"): "--log-level",
    ("log", "format"): "--log-format",
}


def settings_from_flags(
    *,
    data_dir: Path | None = None,
    workers: int | None = None,
    tcp: Sequence[str] = (),
    udp: Sequence[str] = (),
    admin: str | None = None,
    log_level: str | None = None,
    log_format: str | None = None,
) -> dict[str, Any]:
    """Return the settings that the given flags stand for; a flag not given sets nothing.

    One address flag replaces all the configured listeners, not only those of its kind: who says
    `--tcp` wants the addresses on the command line and no others.
    """
    given: dict[str, Any] = {}
    values = (str(data_dir) if data_dir else None, workers, admin, log_level, log_format)
    for key, value in zip(FLAG_OF_KEY, values, strict=True):
        if value is not None:
            table = given if len(key) == 1 else given.setdefault(key[0], {})
            table[key[-1]] = value
    listeners = [
        {"kind": kind, "address": address}
        for kind, addresses in (("tcp", tcp), ("udp", udp))
        for address in addresses
    ]
    if listeners:
        given["listeners"] = listeners
    return given
