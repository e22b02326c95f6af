"""Peers and our own server on each ground, in rounds in which each of them runs once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench import page_cache
from bench.peers import fapilog, page, run
from bench.peers.grounds import GROUNDS, Ground
from bench.peers.grounds import Name as GroundName
from bench.peers.peer import Peer, environment
from bench.peers.programs import PEERS
from bench.peers.results import OURS, Entry, GroundResult, PeersResult
from bench.peers.run import PeerRun
from bench.peers.running import peer_at_work, server_at_work
from bench.runs import FAILURES, Plan

FAPILOG = "fapilog"
NAMES = (*PEERS, FAPILOG)

_FAPILOG_SHARE = 0.004
"""Of the events of a run."""
_WARM_UP_SHARE = 0.1
_EVENT_BYTES = 500
"""As written, at most about so many."""

_VERSION_SECONDS = 30.0

Tell = Callable[[str], None]


class PeersPlan(msgspec.Struct, frozen=True):
    """What to compare with, on which grounds."""

    plan: Plan
    peers: Sequence[str]
    grounds: Sequence[GroundName]
    directories: Sequence[Path] = ()
    """Where programs are looked for before anywhere else."""
    datagram_seconds: float = 1.0
    """How long datagrams are sent at each rate."""


def measure(peers: PeersPlan, tell: Tell) -> PeersResult:
    """Measure all that is there; a failed run is told and kept as such."""
    wanted = [PEERS[name] for name in peers.peers if name in PEERS]
    found = {peer.name: peer.find(peers.directories) for peer in wanted}
    absent = {peer.name: peer.origin for peer in wanted if found[peer.name] is None}
    for name, origin in absent.items():
        tell(f"{name} is not here: {origin}")
    programs = [(peer, program) for peer in wanted if (program := found[peer.name]) is not None]
    result = PeersResult(
        versions={peer.name: _version(peer, program) for peer, program in programs},
        absent=absent,
        grounds=[_measure_ground(peers, GROUNDS[name], programs, tell) for name in peers.grounds],
    )
    tell(page.section(result))
    return result


def _measure_ground(
    peers: PeersPlan, ground: Ground, programs: Sequence[tuple[Peer, Path]], tell: Tell
) -> GroundResult:
    measures: dict[str, Callable[[], PeerRun]] = {OURS: lambda: _ours(peers, ground)}
    for peer, program in programs:
        if peer.template(ground) is not None:
            measures[peer.name] = lambda p=peer, at=program: _peer(peers, ground, p, at)  # type: ignore[misc]
    if ground.name == "json" and FAPILOG in peers.peers:
        measures[FAPILOG] = lambda: _fapilog(peers.plan)
    entries = [Entry(name, [], []) for name in measures]
    for number in range(1, peers.plan.runs + 1):
        for entry in entries:
            try:
                page_cache.touch(peers.plan.data_dir, peers.plan.events * _EVENT_BYTES)
                entry.runs.append(done := measures[entry.name]())
            except FAILURES as error:
                entry.runs.append(None)
                notes = " ".join(getattr(error, "__notes__", []))
                entry.failures.append(f"round {number}: {error} {notes}".strip())
                tell(f"{ground.name}, round {number}, {entry.name} FAILED: {error} {notes}")
                continue
            tell(
                f"{ground.name}, round {number}, {entry.name}: {done.events_per_second:,.0f}"
                f" events/s, {done.cpu_seconds_per_million:.2f} CPU-s per million"
            )
    return GroundResult(ground.name, entries)


def _ours(peers: PeersPlan, ground: Ground) -> PeerRun:
    with server_at_work(peers.plan, ground) as running:
        if ground.transport == "udp":
            return run.measure_datagrams(running, ground, peers.datagram_seconds)
        events = peers.plan.events
        return run.measure_stream(running, ground, events, int(events * _WARM_UP_SHARE))


def _peer(peers: PeersPlan, ground: Ground, peer: Peer, program: Path) -> PeerRun:
    with peer_at_work(peers.plan, peer, program, ground) as running:
        if ground.transport == "udp":
            return run.measure_datagrams(running, ground, peers.datagram_seconds)
        share = ground.peer_share / peer.slowness.get(ground.name, 1)
        events = max(ground.connections, int(peers.plan.events * share))
        warm_up = max(ground.connections, int(events * _WARM_UP_SHARE))
        return run.measure_stream(running, ground, events, warm_up)


def _fapilog(plan: Plan) -> PeerRun:
    events = max(100, int(plan.events * _FAPILOG_SHARE) // 100 * 100)
    done = fapilog.measure(events)
    return PeerRun(
        events=events,
        events_per_second=events / done.seconds,
        cpu_seconds_per_million=done.cpu_seconds * 1e6 / events,
        peak_resident_bytes=None,
        generator_cpu_seconds_per_million=0.0,
    )


def _version(peer: Peer, program: Path) -> str:
    try:
        done = subprocess.run(
            [program, *peer.version],
            check=False,
            capture_output=True,
            text=True,
            env=environment(program),
            timeout=_VERSION_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown: {error}"
    lines = (line for line in done.stdout.splitlines() if any(map(str.isdigit, line)))
    return " ".join(next(lines, "unknown").split()).rstrip(",")
