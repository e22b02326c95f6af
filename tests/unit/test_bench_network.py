"""How the benchmark of the network edge sets servers up, and what its pages say."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from bench import settings
from bench.generator import Deeds
from bench.network.balance import BalanceCase, BalanceRun, busiest
from bench.network.cases import NetworkCase
from bench.network.hostile import GoodRun, HostileCase, Pair
from bench.network.many import ManyCase
from bench.network.plan import NetworkPlan
from bench.network.reload import ReloadCase, ReloadRun
from bench.network.sides import Side, table
from bench.runs import Load, Plan, Run
from ingest.config import load
from tests.measured import FINDINGS, RUN, SENT


def run(cost: float) -> Run:
    return msgspec.structs.replace(RUN, cpu_seconds_per_million=cost)


def sides() -> list[Side]:
    """Return two rounds: in the second one the machine was half as fast."""
    load = Load(pipeline="none", connections=4, events=10)
    return [Side("first", load, [run(0.5), run(1.0)]), Side("second", load, [run(1.0), run(2.0)])]


def pages() -> list[NetworkCase]:
    deeds = Deeds(
        kind="storm",
        seconds=1.0,
        cpu_seconds=0.5,
        attempts=2,
        opened=2,
        refused=0,
        closed_by_peer=0,
        resets=0,
        hung_up=2,
        open=0,
        bytes=24,
    )
    pair = Pair(GoodRun(2e5, 1.0), GoodRun(1.9e5, 1.5), deeds)
    return [
        BalanceCase(5e5, 2, [BalanceRun(1, [9, 1], [6, 4])]),
        ManyCase(1e6, 10, sides()),
        HostileCase(2e5, {"storm": [pair]}),
        ReloadCase(5e5, 5, 2.0, [ReloadRun("reload", SENT, FINDINGS, 2)]),
    ]


def plan(rate: float | None) -> NetworkPlan:
    counts = Plan(events=7, runs=1, latency_seconds=1.0, workers=None, data_dir=Path())
    return NetworkPlan(
        plan=counts,
        seconds=2.0,
        rate=rate,
        burst=10,
        signals=5,
        signal_interval_seconds=1.0,
        kinds=(),
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_the_server_accepts_the_configuration(tmp_path: Path) -> None:
    """Written anew, it differs in its label alone: the certificate stays the same."""
    written = []
    for label in ("1", "2"):
        file = settings.write(
            tmp_path,
            "origin",
            {"tcp": settings.ANY_PORT, "udp": settings.ANY_PORT, "tls": settings.ANY_PORT},
            label=label,
        )
        listeners = load(file, {}).listeners
        for kind, listener in zip(("tcp", "udp", "tls"), listeners, strict=True):
            assert (listener.kind, listener.name) == (kind, kind)
            assert listener.labels == {"reload": label}
        tls = listeners[-1].tls
        assert tls is not None
        written.append([Path(tls.certificate).read_text(), Path(tls.key).read_text()])
    assert written[0] == written[1]
    assert ["CERTIFICATE" in written[0][0], "PRIVATE KEY" in written[0][1]] == [True, True]


def test_ratios_are_of_one_round() -> None:
    second = table(sides()).splitlines()[3]
    assert "2.00 (2.00 to 2.00)" in second


def test_the_busiest_worker_is_told_as_a_share_of_all() -> None:
    assert busiest([6, 4]) == 0.6
    assert busiest([0, 0]) == 0.0


def test_a_rate_of_nought_means_full_speed() -> None:
    assert plan(0.0).pace(5.0) is None
    assert plan(None).pace(5.0) == 5.0
    assert plan(3.0).pace(5.0) == 3.0
    assert (plan(0.0).events(None), plan(3.0).events(3.0)) == (7, 6)


@pytest.mark.parametrize("case", pages(), ids=lambda case: type(case).__name__)
def test_every_case_has_its_part_of_the_page_and_of_the_raw_data(case: NetworkCase) -> None:
    section = case.section()
    assert section.startswith("### ")
    head, *rows = [line for line in section.splitlines() if line.startswith("|")]
    assert all(row.count("|") == head.count("|") for row in rows)
    assert len(rows) > 1
    assert msgspec.json.decode(msgspec.json.encode(case))["case"]


def test_a_connection_that_broke_is_not_overlooked() -> None:
    assert SENT.unbroken
    for kind in ("resets", "closed", "failed", "unclosed"):
        assert not msgspec.structs.replace(SENT, **{kind: 1}).unbroken
