"""Clients that may not speak to a TLS listener get nowhere, and the counters say why."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest._native import METRICS
from tests.certificates import Authority
from tests.end_to_end.clients.site import Site, documented_site
from tests.harness import PATIENCE_SECONDS, wait_until
from tests.stored import tool

LINE = b'{"message":"let me in"}\n'
FAILED = "ingest_tls_handshakes_failed_total"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with documented_site(tmp_path_factory.mktemp("tls")) as running:
        yield running


def s_client(site: Site, *options: object) -> None:
    """Send a line, or try to."""
    host, port = site.address("tls")
    subprocess.run(
        [
            *(
                tool("openssl"),
                "s_client",
                "-quiet",
                "-no_ign_eof",
                "-nocommands",
                "-verify_return_error",
            ),
            *("-connect", f"{host}:{port}", *map(str, options)),
        ],
        input=LINE,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,  # with TLS 1.3 a client may end before it hears that it was refused
    )


def refused(site: Site, kind: str, directory: Path) -> str:
    """Be refused in a way; return the reason that is to be counted."""
    trusting = ("-CAfile", site.certificates / "ca.pem")
    if kind == "plain text":
        host, port = site.address("tls")
        subprocess.run(
            [tool("nc"), "-N", host, str(port)], input=LINE, check=False, timeout=PATIENCE_SECONDS
        )
        return "plain_text"
    if kind == "no certificate":
        s_client(site, *trusting)
        return "no_certificate"
    if kind == "a client that does not trust the server":
        s_client(site, "-CAfile", Authority(directory).own.certificate)
        return "refused_by_client"
    stranger = kind == "certificate of another authority"
    authority = Authority(directory) if stranger else site.authority
    issued = authority.issue("refused", subject="/CN=till-8", expired=not stranger)
    s_client(site, *trusting, "-cert", issued.certificate, "-key", issued.key)
    return "bad_certificate" if stranger else "expired_certificate"


@pytest.mark.parametrize(
    "kind",
    [
        "plain text",
        "no certificate",
        "certificate of another authority",
        "expired certificate",
        "a client that does not trust the server",
    ],
)
def test_the_refused_are_counted_by_reason_and_store_nothing(
    kind: str, site: Site, tmp_path: Path
) -> None:
    """Beside it, a client in good standing is served."""
    before = site.server.status().ledger
    reasons = refused_by_reason(site)
    reason = refused(site, kind, tmp_path)
    wait_until(lambda: refused_by_reason(site) != reasons)
    assert refused_by_reason(site) == {**reasons, reason: reasons[reason] + 1}
    good = site.certificates / "client.pem"
    trusting = ("-CAfile", site.certificates / "ca.pem")
    s_client(site, *trusting, "-cert", good, "-key", good.with_suffix(".key"))
    ledger = site.server.settle(before.received + 1)
    assert ledger.journaled == before.journaled + 1
    assert reason in site.server.log()


def refused_by_reason(site: Site) -> dict[str, int]:
    """Return the counters of refused handshakes."""
    metric = next(metric for metric in METRICS if metric.name == FAILED)
    return {label: site.counted("tls", FAILED, label) for label in metric.label_values}
