"""A certificate authority for tests, made with the `openssl` command in a directory of theirs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.stored import tool

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")


class Certificate(NamedTuple):
    """The PEM files of a certificate and of its private key."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates; `authority.own` is the one that others trust it by."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.own = self._make(
            name, f"/CN={name}", "req", "-x509", "-days", "2", *extension("CA:TRUE")
        )

    def issue(
        self, name: str, *, subject: str, alternatives: str = "", expired: bool = False
    ) -> Certificate:
        """Issue a certificate for server and client.

        `subject` is such as `/O=Shop/CN=till-7`, `alternatives` such as
        `DNS:logs.example.com,IP:127.0.0.1`.
        """
        names = ("-addext", f"subjectAltName={alternatives}") if alternatives else ()
        issuer = ("-CA", str(self.own.certificate), "-CAkey", str(self.own.key))
        extensions = (*extension("CA:FALSE"), *names)
        if not expired:
            return self._make(name, subject, "req", "-x509", "-days", "2", *issuer, *extensions)
        # Only `x509` takes a number of days below zero.
        request = self._make(name, subject, "req", "-new", *extensions)
        run_openssl(
            *("x509", "-req", "-in", str(request.certificate), *issuer, "-days", "-1"),
            *("-copy_extensions", "copyall", "-out", str(request.certificate)),
        )
        return request

    def _make(self, name: str, subject: str, command: str, *options: str) -> Certificate:
        made = Certificate(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        run_openssl(
            *(command, "-batch", "-subj", subject, *NEW_KEY, *options),
            *("-keyout", str(made.key), "-out", str(made.certificate)),
        )
        return made


def extension(constraint: str) -> tuple[str, str]:
    """Return the options that say whether a certificate may issue others."""
    return "-addext", f"basicConstraints=critical,{constraint}"


def run_openssl(*arguments: str) -> None:
    """Run the command; fail with what it says."""
    done = subprocess.run(
        [tool("openssl"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
