"""Clients that may not speak to a TLS listener get nowhere, and the counters say why."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest._native import METRICS
from tests.certificates import Authority
from tests.end_to_end.clients.openssl import in_good_standing, s_client, trusting
from tests.end_to_end.clients.site import Site, documented_site
from tests.harness import PATIENCE_SECONDS, wait_until
from tests.stored import tool

LINE = b'{"message":"let me in"}\n'
FAILED = "ingest_tls_handshakes_failed_total"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with documented_site(tmp_path_factory.mktemp("tls")) as running:
        yield running


def plain_text(site: Site, _: Path) -> None:
    command = [tool("nc"), "-N", *map(str, site.address("tls"))]
    subprocess.run(command, input=LINE, check=False, timeout=PATIENCE_SECONDS)


def no_certificate(site: Site, _: Path) -> None:
    s_client(site.address("tls"), LINE, *trusting(site))


def bad_certificate(site: Site, directory: Path) -> None:
    """Show one of another authority."""
    stranger = Authority(directory).issue("stranger", subject="/CN=till-7")
    options = ("-cert", stranger.certificate, "-key", stranger.key)
    s_client(site.address("tls"), LINE, *trusting(site), *options)


def expired_certificate(site: Site, _: Path) -> None:
    expired = site.authority.issue("expired", subject="/CN=till-7", expired=True)
    options = ("-cert", expired.certificate, "-key", expired.key)
    s_client(site.address("tls"), LINE, *trusting(site), *options)


def refused_by_client(site: Site, directory: Path) -> None:
    """Trust another authority than that of the server."""
    s_client(site.address("tls"), LINE, "-CAfile", Authority(directory).own.certificate)


@pytest.mark.parametrize(
    "attempt",
    [plain_text, no_certificate, bad_certificate, expired_certificate, refused_by_client],
    ids=lambda attempt: attempt.__name__,
)
def test_a_client_that_may_not_send_is_counted_by_reason_and_stores_nothing(
    attempt: Callable[[Site, Path], None], site: Site, tmp_path: Path
) -> None:
    """Beside it, a client in good standing is served."""
    before = site.server.status().ledger
    counts = refused_by_reason(site)
    attempt(site, tmp_path)
    wait_until(lambda: refused_by_reason(site) != counts)
    reason = attempt.__name__
    assert refused_by_reason(site) == {**counts, reason: counts[reason] + 1}
    s_client(site.address("tls"), LINE, *in_good_standing(site))
    ledger = site.server.settle(before.received + 1)
    assert ledger.journaled == before.journaled + 1
    wait_until(lambda: f'"cause":"{reason}"' in site.server.log())


def refused_by_reason(site: Site) -> dict[str, int]:
    """Return the counters of refused handshakes."""
    metric = next(metric for metric in METRICS if metric.name == FAILED)
    return {label: site.counted("tls", FAILED, label) for label in metric.label_values}
