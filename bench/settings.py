"""Writes the configuration of a server under test: a pipeline, listeners, the journal.

For TLS it makes a certificate of its own with the `openssl` command, valid for this measurement.
"""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bench.generator import Transport
from bench.parameters import Journal

_CONFIGURATIONS = Path(__file__).parent / "configurations"
_FILE = "config.toml"

ANY_PORT = "127.0.0.1:0"


def configuration(pipeline: str) -> Path:
    """Return the configuration file of a pipeline."""
    return _CONFIGURATIONS / f"{pipeline}.toml"


@cache
def drops_debug(pipeline: str) -> bool:
    """Return whether a pipeline drops the events that are DEBUG."""
    return "level" in tomllib.loads(configuration(pipeline).read_text())["pipeline"]["filters"]


def write(
    directory: Path,
    pipeline: str,
    listeners: Mapping[Transport, str],
    *,
    journal: Journal = "auto",
    label: str | None = None,
) -> Path:
    """Write the file into `directory` and return it.

    `listeners` says on which address there is one of each transport, whose name it gets.

    With `label` every event gets `diagnostics.labels.reload`: a configuration that differs from the
    one before, and events that say which one they were received under.
    """
    parts = [configuration(pipeline).read_text()]
    compression = "none" if journal == "off" else journal
    parts.append(f'[journal]\ncompression = "{compression}"\n')
    for transport, address in listeners.items():
        parts.append(
            f'[[listeners]]\nkind = "{transport}"\nname = "{transport}"\naddress = "{address}"\n'
        )
        if label is not None:
            parts.append(f'[listeners.labels]\nreload = "{label}"\n')
        if transport == "tls":
            certificate, key = _certificate(directory)
            parts.append(f'[listeners.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    # Replaced whole: the server may be told to read it at any moment.
    file, new = directory / _FILE, directory / f"{_FILE}.new"
    new.write_text("\n".join(parts))
    return new.replace(file)


def _certificate(directory: Path) -> tuple[Path, Path]:
    """Return the files of a self-signed certificate and of its key."""
    certificate, key = directory / "server.pem", directory / "server.key"
    if not certificate.exists():
        command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-addext", "basicConstraints=critical,CA:FALSE"]
        command += ["-out", str(certificate), "-keyout", str(key)]
        subprocess.run(command, check=True, capture_output=True)
    return certificate, key
