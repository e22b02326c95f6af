"""How chaos judges: what was received, what is in the files, and what was promised."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.generator import Sent
from bench.machine import Disk, Machine
from chaos import judge, page
from chaos.fault import Fault
from chaos.faults.kills import KillTree, KillWorker
from chaos.history import History, Life
from chaos.judge import Verdict
from chaos.oracle import Findings
from chaos.table import Results
from ingest.counters import LedgerStatus
from tests import measured

CLEAN = Findings(
    events=100,
    foreign=0,
    altered=0,
    duplicated=0,
    reordered=0,
    lost=0,
    unconfirmed=0,
    batches=3,
    missing_sequences=0,
    repeated_sequences=0,
    damages=0,
    damaged_bytes=0,
)
SENT = msgspec.structs.replace(
    measured.SENT, run=0, events=100, bytes=32_000, per_connection=[50, 50]
)


def life(received: int, stored: int, **changes: object) -> Life:
    """Return a life that received so many events, and left so many in the files."""
    ended = Life(
        ledger=LedgerStatus(received=received, lost={"worker_died": 0}),
        durable={"shard-0000": stored},
        stored={"shard-0000": stored},
        dead_letters=0,
        stored_before=0,
        in_order=True,
        exit_status=0,
    )
    return msgspec.structs.replace(ended, **changes)


def found(**changes: int) -> Findings:
    """Return what the oracle says where these are not nought."""
    return msgspec.structs.replace(CLEAN, **changes)


def judged(
    *lives: Life,
    fault: type[Fault] = KillWorker,
    told: dict[int, int] | None = None,
    sent: Sent = SENT,
    findings: Findings = CLEAN,
    complaint: str | None = None,
) -> Verdict:
    """Return the verdict on a trial of these lives, by default one in which nothing happened."""
    return judge.judge(
        fault,
        rounds=1,
        sent=sent,
        history=History(lives=list(lives) or [life(100, 100)], told=told or {}),
        found=findings,
        complaint=complaint,
    )


def test_nothing_is_wrong_where_everything_is_there_once() -> None:
    assert not judged().wrong


@pytest.mark.parametrize(
    "finding",
    [
        "foreign",
        "altered",
        "duplicated",
        "reordered",
        "lost",
        "missing_sequences",
        "repeated_sequences",
    ],
)
def test_whatever_the_oracle_finds_is_wrong(finding: str) -> None:
    (words,) = judged(findings=found(**{finding: 7})).wrong
    assert "7" in words


def test_what_was_received_and_is_nowhere_is_lost_even_if_the_oracle_cannot_know() -> None:
    """At the end of a broken connection it does not know what was received."""
    counted = LedgerStatus(received=100, lost={"worker_died": 10})
    verdict = judged(life(100, 90, ledger=counted), findings=found(unconfirmed=10))
    assert verdict.lost == 10
    assert verdict.wrong == ["10 events lost"]


def test_what_was_not_durable_may_be_lost_with_all_processes_if_it_is_counted() -> None:
    lives = [life(60, 50, in_order=False), life(50, 100, stored_before=50)]
    missing = found(lost=4, unconfirmed=6)
    assert not judged(*lives, fault=KillTree, told={0: 10}, findings=missing).wrong
    (words,) = judged(*lives, fault=KillTree, told={0: 9}, findings=missing).wrong
    assert "[9, 0]" in words
    assert "[10, 0]" in words


def test_what_was_durable_may_never_be_lost() -> None:
    """Three that were called durable are not in the files, and ten in all are not."""
    killed = life(60, 50, in_order=False, durable={"shard-0000": 53})
    next_one = life(50, 100, stored_before=50)
    missing = found(unconfirmed=10)
    verdict = judged(killed, next_one, fault=KillTree, told={0: 10}, findings=missing)
    assert verdict.lost == 3
    assert verdict.wrong == ["3 events lost"]


def test_connections_break_only_where_that_is_said() -> None:
    broken = msgspec.structs.replace(SENT, broken=[1])
    assert judged(sent=broken).wrong == ["1 connections broken"]
    assert not judged(sent=broken, fault=KillTree).wrong


def test_a_complaint_of_verify_is_wrong() -> None:
    assert judged(complaint="damaged").wrong == ["verify: damaged"]


def test_the_oldest_undurable_event_is_not_younger_than_the_last_moment_without_it() -> None:
    killed = life(60, 50, in_order=False)
    assert killed.oldest_undurable_seconds([(1.0, 40), (2.0, 50), (3.0, 51)], 3.5) == 1.5
    assert killed.oldest_undurable_seconds([(3.0, 51)], 3.5) == 0.5
    assert life(50, 50).oldest_undurable_seconds([(3.0, 40)], 3.5) == 0.0


def test_a_page_keeps_what_people_wrote_around_the_results(tmp_path: Path) -> None:
    file, kept = tmp_path / "page.md", tmp_path / "results"
    file.write_text(f"before\n{page.BEGIN}old\n{page.END}after\n")
    disk = Disk(filesystem="ext4", source="/dev/x", sequential_mb_per_second=1.0, sync_p50_ms=0.1)
    machine = Machine(
        cpu="a CPU",
        cores=2,
        memory_gib=4.0,
        kernel="6",
        governor=None,
        python="3.11",
        rustc="rustc",
        commit="abc",
        disk=disk,
    )
    results = Results(
        why="a test",
        started_at="2026-11-26T00:00:00+00:00",
        command="python -m chaos",
        seed=1,
        rate=1000.0,
        connections=2,
        workers=2,
        machine=machine,
        verdicts=[judged(), judged(complaint="a | b\nc")],
        unavailable={"kill-tree": "no reason"},
    )
    page.keep(results, kept)
    page.keep(msgspec.structs.replace(results, why="older", started_at="2026-11-25T"), kept)
    for _ in range(2):
        page.write(file, kept)
    text = file.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old\n" not in text
    assert 0 < text.index("### a test") < text.index("### older")
    promise = KillWorker.promise.words
    row = f"| `kill-worker` | {promise} — **broken**: verify: a / b c | 2 | 200 (100/s) | 0 |"
    assert text.count(row) == 2
    assert "not on this machine: no reason" in text
