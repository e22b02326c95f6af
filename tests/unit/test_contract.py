"""What roles tell each other, and the status document made of the shared region."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

import ingest
from ingest import contract
from ingest._native import METRICS, Region
from ingest.contract import (
    AdminSpec,
    IntakePause,
    ListenerDescription,
    LogSpec,
    ServerDescription,
    WorkerState,
)
from ingest.counters import Status, read_status

DESCRIPTION = ServerDescription(
    version="1.2.3",
    data_dir="/data",
    workers=2,
    listeners=(
        ListenerDescription(name="in", kind="tcp", address="127.0.0.1:5140", bound=True),
        ListenerDescription(name="syslog", kind="udp", address="127.0.0.1:514", bound=True),
    ),
    admin="127.0.0.1:5142",
    heartbeat_timeout_seconds=10.0,
    last_reload=None,
    previous_server=None,
)


@pytest.fixture
def region() -> Region:
    """Return an empty region of two workers and two listeners."""
    names = [listener.name for listener in DESCRIPTION.listeners]
    return Region.create(2, names, [], contract.encode(DESCRIPTION))


def make_ready(region: Region, worker: int) -> None:
    """Do what a worker does when it is ready."""
    region.set(worker, "ingest_worker_state", WorkerState.READY)
    region.set(worker, "ingest_worker_heartbeat_ns", time.monotonic_ns())


class TestMessages:
    """What roles are told travels as JSON."""

    SPEC = AdminSpec(
        descriptor=3,
        region=4,
        lifeline=5,
        log=LogSpec(level="INFO", format="json"),
    )

    def test_a_spec_survives_the_command_line(self) -> None:
        """One line of JSON, read back as the same spec."""
        text = contract.encode(self.SPEC).decode()
        assert "\n" not in text
        assert contract.decode(text, AdminSpec) == self.SPEC

    def test_a_spec_of_another_version_is_refused(self) -> None:
        """Both ends are always of one version, so anything else is a mistake."""
        values = msgspec.json.decode(contract.encode(self.SPEC))
        with pytest.raises(ValueError, match="novelty"):
            contract.decode(msgspec.json.encode({**values, "novelty": 1}), AdminSpec)
        del values["lifeline"]
        with pytest.raises(ValueError, match="lifeline"):
            contract.decode(msgspec.json.encode(values), AdminSpec)


class TestStatus:
    """The status document over a region."""

    def test_a_new_region_is_all_zero_and_not_ready(self, region: Region) -> None:
        """Nobody works yet."""
        status = read_status(region)
        assert (status.version, status.data_dir) == ("1.2.3", "/data")
        assert [worker.state for worker in status.workers] == ["gone", "gone"]
        assert [worker.pid for worker in status.workers] == [None, None]
        assert status.workers[0].heartbeat_age_seconds is None
        assert not status.ready
        assert status.reasons == ["worker 0 is gone", "worker 1 is gone"]
        assert status.ledger.received == 0
        assert status.ledger.closed

    def test_it_is_ready_when_every_worker_is(self, region: Region) -> None:
        """One worker alone leaves the connections of the others waiting."""
        make_ready(region, 0)
        assert read_status(region).reasons == ["worker 1 is gone"]
        make_ready(region, 1)
        assert read_status(region).ready

    def test_a_worker_whose_loop_is_stuck_is_not_ready(self, region: Region) -> None:
        """Its state alone would not tell."""
        make_ready(region, 0)
        make_ready(region, 1)
        region.set(1, "ingest_worker_heartbeat_ns", time.monotonic_ns() - 11 * 10**9)
        status = read_status(region)
        assert status.reasons == ["worker 1 shows no heartbeat"]
        assert status.workers[1].heartbeat_age_seconds == pytest.approx(11, abs=5)

    def test_the_ledger_is_the_sum_over_workers_and_listeners(self, region: Region) -> None:
        """Each of them has one of its own."""
        for worker, listener, received in ((0, 0, 10), (1, 0, 20), (1, 1, 5)):
            for name in ("ingest_events_received_total", "ingest_events_accepted"):
                region.set(worker, name, received, listener=listener)
            region.set(worker, "ingest_events_journaled_total", 3, listener=listener)
        region.set(1, "ingest_events_lost_total", 2, listener=1, label="worker_died")
        region.set(1, "ingest_kernel_dropped_total", 7, listener=1)
        region.set(0, "ingest_events_rejected_total", 4, listener=0, label="invalid_json")
        status = read_status(region)
        ledger = status.ledger
        assert (ledger.received, ledger.journaled, ledger.in_flight) == (35, 9, 24)
        assert ledger.lost["worker_died"] == 2
        assert ledger.kernel_dropped == 7
        assert ledger.closed
        assert [listener.received for listener in status.listeners] == [30, 5]
        assert [worker.received for worker in status.workers] == [10, 25]
        assert status.listeners[0].rejected["invalid_json"] == 4

    def test_an_event_that_is_nowhere_opens_the_sum(self, region: Region) -> None:
        """For the whole, and for the listener that it came through."""
        region.set(0, "ingest_events_received_total", 1, listener=0)
        status = read_status(region)
        assert not status.ledger.closed
        assert status.listeners[1].ledger.closed

    @pytest.mark.parametrize("pause", IntakePause)
    def test_it_says_why_reading_is_stopped(self, region: Region, pause: IntakePause) -> None:
        """Every value of the cell has words."""
        region.set(0, "ingest_intake_paused", pause)
        words = read_status(region).workers[0].intake
        assert words.startswith("running" if pause is IntakePause.RUNNING else "paused: ")

    def test_the_ledger_is_made_of_integers(self, region: Region) -> None:
        """Programs that read the document rely on it."""
        document = msgspec.to_builtins(read_status(region))
        assert msgspec.convert(document, Status).ready is False
        ledger = document["ledger"]
        assert ledger.pop("closed") is True
        assert all(type(ledger.pop(name)) is dict for name in ("dropped", "lost"))
        assert all(type(value) is int for value in ledger.values())


def test_the_version_is_that_of_the_crate() -> None:
    """The one place where it is written."""
    manifest = Path(__file__).parents[2] / "native/Cargo.toml"
    assert f'\nversion = "{ingest.__version__}"\n' in manifest.read_text()


def test_counters_are_named_as_prometheus_expects() -> None:
    """The client library renames what does not end in _total."""
    assert all(metric.name.endswith("_total") == (metric.kind == "counter") for metric in METRICS)


@pytest.mark.parametrize("module", ["contract", "counters", "logs", "sockets", "errors", "events"])
def test_what_every_role_imports_is_quick_to_import(module: str) -> None:
    """A respawned worker must accept within a second; pydantic and rich alone cost half of it."""
    program = f"import sys, ingest.{module}; print([*sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=30, check=True
    )
    loaded = set(ast.literal_eval(done.stdout.decode()))
    assert not loaded & {"pydantic", "pydantic_settings", "typer", "starlette", "uvicorn"}
