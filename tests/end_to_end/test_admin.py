"""The admin pages say what the ledger says, and ingestion never depends on them."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from ingest.counters import Readiness, Status
from tests.harness import Server, run_command, wait_until

IMPATIENT = {
    "INGEST_SUPERVISION__HEARTBEAT_INTERVAL": "50ms",
    "INGEST_SUPERVISION__HEARTBEAT_TIMEOUT": "1s",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("admin") / "data") as running:
        running.deliver(b'{"message":"good"}\n' * 100 + b"bad\n" * 10 + b'{"a":1,"a":1}\n', 111)
        running.send_datagrams(b"{}", count=20)
        running.settle(131)
        yield running


def get(server: Server, page: str) -> tuple[int, bytes]:
    """Return the HTTP status and the body of a page."""
    url = f"http://{server.running().admin}{page}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def read_metrics(server: Server) -> dict[str, Metric]:
    """Return the metric families by name, as Prometheus reads them."""
    status, body = get(server, "/metrics")
    assert status == 200
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def total(families: dict[str, Metric], name: str, **labels: str) -> float:
    """Return the sum over all workers of the samples with these labels."""
    return sum(
        sample.value
        for sample in families[name].samples
        if labels.items() <= sample.labels.items() and not sample.name.endswith("_created")
    )


def test_the_metrics_agree_with_the_ledger(server: Server) -> None:
    """Each listener's own, and every sum closes."""
    families = read_metrics(server)
    for listener in server.status().listeners:
        assert listener.received > 0
        for name in ("received", "journaled", "filtered", "dead_lettered"):
            metric = total(families, f"ingest_events_{name}", listener=listener.name)
            assert metric == getattr(listener.ledger, name)
        for reason, count in listener.rejected.items():
            labels = {"listener": listener.name, "reason": reason}
            assert total(families, "ingest_events_rejected", **labels) == count
    assert total(families, "ingest_events_rejected", reason="unknown_format") == 10
    assert total(families, "ingest_events_rejected", reason="duplicate_key") == 1
    assert total(families, "ingest_events_lost") == 0
    assert total(families, "ingest_datagrams_received") == 20
    opened = total(families, "ingest_connections_opened")
    assert opened - total(families, "ingest_connections_closed") == 0
    assert total(families, "ingest_connections") == 0
    pids = {sample.value for sample in families["ingest_worker_pid"].samples}
    assert pids == {worker.pid for worker in server.status().workers}


def test_the_duration_of_syncs_is_a_histogram(server: Server) -> None:
    """Its buckets only grow, and the last of them holds every sync."""
    samples = read_metrics(server)["ingest_journal_sync_seconds"].samples
    for worker in ("0", "1"):
        of_worker = [sample for sample in samples if sample.labels["worker"] == worker]
        counts = [sample.value for sample in of_worker if sample.name.endswith("_bucket")]
        (count,) = [sample.value for sample in of_worker if sample.name.endswith("_count")]
        (seconds,) = [sample.value for sample in of_worker if sample.name.endswith("_sum")]
        assert counts == sorted(counts)
        assert counts[-1] == count
        assert (seconds > 0) == (count > 0)


def test_every_public_metric_is_exported_and_explained(server: Server) -> None:
    """No family without a help text, and none of the cells of the protocol."""
    families = read_metrics(server)
    assert all(family.documentation for family in families.values())
    assert "ingest_worker_heartbeat_ns" not in families
    assert total(families, "ingest_info") == 1, "the version"


def test_the_status_page_is_the_document_of_the_command(server: Server) -> None:
    """Whatever reads one can read the other; only clock and disk have gone on between the two."""
    status, page = get(server, "/status")
    assert status == 200
    command = run_command("status", "--json", "--data-dir", server.data_dir).stdout
    documents = [msgspec.json.decode(text, type=Status, strict=True) for text in (page, command)]
    for document in documents:
        assert document.uptime_seconds > 0
        document.uptime_seconds = 0
        assert document.disk.free_bytes > 0
        document.disk.free_bytes = 0
        for worker in document.workers:
            assert worker.heartbeat_age_seconds is not None
            worker.heartbeat_age_seconds = 0
    assert documents[0] == documents[1]
    assert msgspec.json.decode(page).keys() == msgspec.json.decode(command).keys()


def test_a_page_that_is_not_there(server: Server) -> None:
    """Is answered with 404."""
    assert get(server, "/nothing")[0] == 404


def test_readiness_follows_the_workers(tmp_path: Path) -> None:
    """200 while every worker takes events; 503 with the reason while one does not."""
    with Server(tmp_path / "data", environment=IMPATIENT) as server:
        assert get(server, "/readyz") == (200, b'{"ready":true,"reasons":[]}')
        assert get(server, "/healthz") == (200, b"ok\n")
        stopped = server.worker_pid(1) or 0
        os.kill(server.pid, signal.SIGSTOP)  # who would replace it
        os.kill(stopped, signal.SIGSTOP)
        wait_until(lambda: get(server, "/readyz")[0] == 503)
        _, body = get(server, "/readyz")
        reasons = msgspec.json.decode(body, type=Readiness).reasons
        assert reasons == ["worker 1 shows no heartbeat"]
        assert get(server, "/healthz") == (200, b"ok\n")
        os.kill(stopped, signal.SIGCONT)
        wait_until(lambda: get(server, "/readyz")[0] == 200)
        os.kill(server.pid, signal.SIGCONT)


def test_ingestion_goes_on_without_the_admin_process(server: Server) -> None:
    """It is killed, events are stored meanwhile, and the pages come back at the same address."""
    before = total(read_metrics(server), "ingest_events_journaled")
    workers = [worker.pid for worker in server.status().workers]
    (admin,) = admin_pids(server)
    os.kill(admin, signal.SIGKILL)
    server.deliver(b'{"message":"meanwhile"}\n' * 1000, 1000)
    wait_until(lambda: admin_pids(server) not in ([], [admin]))
    # The socket has been kept open, so this request waits for the new process.
    assert total(read_metrics(server), "ingest_events_journaled") == before + 1000
    assert [worker.pid for worker in server.status().workers] == workers


def admin_pids(server: Server) -> list[int]:
    """Find the admin role among the children of the supervisor."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"ingest.admin" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
    ]
