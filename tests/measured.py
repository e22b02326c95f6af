"""What a generator and a check of the journal say of a run in which nothing went wrong."""

from __future__ import annotations

from bench.generator import Sent
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
