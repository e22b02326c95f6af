"""The admin role alone: a region, a listening socket and a lifeline, and HTTP on the other side."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import NamedTuple

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ingest import contract
from ingest._native import METRICS, Region
from ingest.contract import (
    AdminSpec,
    ListenerDescription,
    LogSpec,
    ServerDescription,
    WorkerState,
)
from ingest.errors import ExitStatus
from tests.harness import PATIENCE_SECONDS


class Answer(NamedTuple):
    """What the server said."""

    status: int
    content_type: str
    body: str


class Admin:
    """An admin process, with what a supervisor would hold for it."""

    def __init__(self) -> None:
        description = ServerDescription(
            version="1.2.3",
            data_dir="/data",
            workers=1,
            listeners=(
                ListenerDescription(name="in", kind="tcp", address="127.0.0.1:1", bound=True),
            ),
            admin=None,
            heartbeat_timeout_seconds=10.0,
            last_reload=None,
            previous_server=None,
        )
        self.region = Region.create(1, ["in"], ["level"], contract.encode(description))
        self._listening = socket.create_server(("127.0.0.1", 0))
        reader, self._lifeline = os.pipe()
        descriptors = (self._listening.fileno(), self.region.fileno(), reader)
        spec = AdminSpec(
            descriptor=descriptors[0],
            region=descriptors[1],
            lifeline=descriptors[2],
            log=LogSpec(level="INFO", format="json"),
        )
        with tempfile.TemporaryFile() as told:
            told.write(contract.encode(spec))
            told.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ingest.admin"],
                stdin=told,
                pass_fds=descriptors,
                stderr=subprocess.PIPE,
            )
        os.close(reader)

    def get(self, path: str, accept: str = "*/*") -> Answer:
        """Ask for a page; the socket listens already, so a starting process answers late."""
        host, port = self._listening.getsockname()
        connection = HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", path, headers={"Accept": accept})
            response = connection.getresponse()
            content_type = response.getheader("content-type", "")
            return Answer(response.status, content_type, response.read().decode())
        finally:
            connection.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def cut_lifeline(self) -> None:
        """Do what the death of the supervisor does."""
        os.close(self._lifeline)
        self._lifeline = -1

    def wait(self) -> tuple[int, str]:
        """Return how it ended, and its log."""
        _, log = self._process.communicate(timeout=PATIENCE_SECONDS)
        return self._process.returncode, log.decode()

    def close(self) -> None:
        """Leave nothing behind."""
        if self._lifeline >= 0:
            self.cut_lifeline()
        self.wait()
        self._listening.close()


@pytest.fixture
def admin() -> Iterator[Admin]:
    """Return a running admin process."""
    running = Admin()
    yield running
    running.close()


def test_health_is_an_answer(admin: Admin) -> None:
    """Whatever the workers do."""
    assert admin.get("/healthz") == Answer(200, "text/plain; charset=utf-8", "ok\n")


def test_readiness_follows_the_workers(admin: Admin) -> None:
    """503 with the reason, until every worker is ready."""
    answer = admin.get("/readyz")
    assert answer.status == 503
    assert json.loads(answer.body) == {"ready": False, "reasons": ["worker 0 is gone"]}
    admin.region.set(0, "ingest_worker_state", WorkerState.READY)
    admin.region.set(0, "ingest_worker_heartbeat_ns", time.monotonic_ns())
    assert admin.get("/readyz").status == 200


def test_status_is_the_document_of_the_command(admin: Admin) -> None:
    """`ingest status --json` over HTTP."""
    admin.region.set(0, "ingest_events_received_total", 3, listener=0)
    document = json.loads(admin.get("/status").body)
    assert document["version"] == "1.2.3"
    assert document["ledger"]["received"] == 3


def test_every_public_metric_is_exposed(admin: Admin) -> None:
    """With its labels, and the protocol cells kept private."""
    admin.region.set(0, "ingest_events_lost_total", 4, listener=0, label="worker_died")
    answer = admin.get("/metrics")
    assert answer.content_type.startswith("text/plain; version=")
    samples = [sample for family in parse_text(answer.body) for sample in family.samples]
    names = {sample.name for sample in samples}
    for metric in METRICS:
        exposed = metric.name in names or f"{metric.name}_bucket" in names
        assert exposed == metric.public, metric.name
    labels = {"listener": "in", "worker": "0", "reason": "worker_died"}
    found = {sample.name: sample.value for sample in samples if sample.labels == labels}
    assert found["ingest_events_lost_total"] == 4


def test_a_histogram_is_cumulative(admin: Admin) -> None:
    """The cells count what lies between two bounds; Prometheus wants what lies below."""
    for bound, count in (("0.001", 5), ("1", 2), ("+Inf", 1), ("sum", 3_500_000_000)):
        admin.region.set(0, "ingest_journal_sync_seconds", count, label=bound)
    families = parse_openmetrics(  # type: ignore[no-untyped-call]
        admin.get("/metrics", "application/openmetrics-text").body
    )
    (family,) = [one for one in families if one.name == "ingest_journal_sync_seconds"]
    values = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert (values["0.001"], values["0.5"], values["1.0"], values["+Inf"]) == (5, 5, 7, 8)
    assert values["ingest_journal_sync_seconds_count"] == 8
    assert values["ingest_journal_sync_seconds_sum"] == pytest.approx(3.5)


def test_a_page_that_is_not_there(admin: Admin) -> None:
    """404, and the server lives on."""
    assert admin.get("/etc/passwd").status == 404
    assert admin.get("/healthz").status == 200


def test_sigterm_is_a_clean_end(admin: Admin) -> None:
    """Exit status 0, while SIGINT from a terminal is for the supervisor alone."""
    admin.get("/healthz")
    admin.signal(signal.SIGINT)
    assert admin.get("/healthz").status == 200
    admin.signal(signal.SIGTERM)
    status, log = admin.wait()
    assert status == ExitStatus.CLEAN
    assert [json.loads(line)["role"] for line in log.splitlines()] == ["admin"]


def test_the_end_of_the_lifeline_is_the_end(admin: Admin) -> None:
    """Without a supervisor nobody would ever stop it."""
    admin.get("/healthz")
    admin.cut_lifeline()
    assert admin.wait()[0] == ExitStatus.CLEAN
