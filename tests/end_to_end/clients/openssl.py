"""`openssl s_client`: it sends what it is given over TLS and goes away."""

from __future__ import annotations

import subprocess

from tests.end_to_end.clients.site import Site
from tests.harness import PATIENCE_SECONDS
from tests.stored import tool


def s_client(address: tuple[str, int], sent: bytes, *options: object) -> None:
    """Send, or try to: with TLS 1.3 a client may end before it hears that it was refused."""
    host, port = address
    command = [tool("openssl"), "s_client", "-quiet", "-no_ign_eof", "-nocommands"]
    command += ["-verify_return_error", "-connect", f"{host}:{port}", *map(str, options)]
    subprocess.run(command, input=sent, capture_output=True, timeout=PATIENCE_SECONDS, check=False)


def trusting(site: Site) -> list[object]:
    """Return the options of a client that trusts the server."""
    return ["-CAfile", site.directory / "ca.pem"]


def in_good_standing(site: Site) -> list[object]:
    """Return the options of a client that trusts the server and is trusted."""
    certificate = site.directory / "client.pem"
    return [*trusting(site), "-cert", certificate, "-key", certificate.with_suffix(".key")]
