"""What is measured of a run in which nothing went wrong, and what is said of its events."""

from __future__ import annotations

from bench.generator import Sent
from bench.runs import Run
from bench.stored import Findings

SENT = Sent(
    run=1,
    events=10,
    bytes=3200,
    seconds=1.0,
    cpu_seconds=0.1,
    started_ns=0,
    ended_ns=1,
    resets=0,
    closed=0,
    failed=0,
    unclosed=0,
    send_errors=0,
    per_connection=[5, 5],
    broken=[],
)
FINDINGS = Findings(
    events=10,
    other_runs=0,
    foreign=0,
    lost=0,
    duplicated=0,
    reordered=0,
    received_out_of_order=0,
    timed=10,
    moved_connections=1,
    clean=True,
)
MIB = 1024 * 1024
RUN = Run(
    events=100,
    bytes=32_000,
    kernel_dropped=0,
    stored_events=100,
    events_per_second=1e6,
    cpu_seconds_per_million=0.5,
    worker_cpu_seconds_per_million=0.4,
    generator_cpu_seconds_per_million=0.1,
    peak_resident_bytes={"supervisor 1": 30 * MIB, "worker 2": 70 * MIB, "worker 3": 90 * MIB},
)
