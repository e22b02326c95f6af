"""One trial: a fresh server under load, some rounds of one fault, and what became of the events."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from random import Random

import msgspec

from bench.generator import Sending, Sent
from chaos import judge, oracle
from chaos.fault import Fault
from chaos.judge import Verdict
from chaos.tier import Tier
from tests.harness import NO_STAGES

_CLOSE_SECONDS = 60.0
_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 0.01, 0.25
"""Between the recovery from one fault and the next, so that it strikes at any moment."""


class Plan(msgspec.Struct, frozen=True):
    """What all trials have in common."""

    rate: float
    """Events per second, over all connections."""
    connections: int
    workers: int
    seed: int
    directory: Path
    """Where journals are written and removed again."""
    deadline: float
    """On the monotonic clock; no round begins after it."""
    keep: bool
    """Whether to leave what a trial with a wrong result has written."""


def run(plan: Plan, kind: type[Fault], rounds: int, number: int) -> Verdict:
    """Run the trial of this number; the pauses and choices depend on it and on the seed alone."""
    chance = Random(f"{plan.seed} {kind.name} {number}")
    directory = Path(tempfile.mkdtemp(dir=plan.directory, prefix=f"chaos-{kind.name}-"))
    fault = kind(directory)
    try:
        verdict = _try(plan, fault, rounds, chance)
    finally:
        fault.close()
    if verdict.wrong and plan.keep:
        print(f"  kept: {directory}")
    else:
        shutil.rmtree(directory)
    return verdict


def _try(plan: Plan, fault: Fault, rounds: int, chance: Random) -> Verdict:
    directory = fault.directory
    record = directory / "record"
    done = 0
    tier = Tier(
        directory / "data",
        workers=plan.workers,
        environment={"INGEST_PIPELINE": NO_STAGES, **fault.environment()},
        wrapper=fault.wrapper(),
    )
    with tier, _send(plan, tier, record) as senders:
        tier.await_intake()
        while done < rounds and time.monotonic() < plan.deadline:
            time.sleep(chance.uniform(_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS))
            fault.strike(tier, chance)
            tier.await_intake()
            done += 1
        sent = _finish(tier, senders)
        tier.stop()
    fault.restore()
    return judge.judge(
        type(fault),
        done,
        sent=sent,
        tier=tier,
        found=oracle.audit(tier.data_dir, sent, record),
        complaint=oracle.verify(tier.data_dir),
    )


def _send(plan: Plan, tier: Tier, record: Path) -> Sending:
    return Sending(
        "tcp",
        tier.address,
        connections=plan.connections,
        events=None,
        rate=plan.rate,
        await_close_seconds=_CLOSE_SECONDS,
        record=record,
    )


def _finish(tier: Tier, senders: Sending) -> Sent:
    """Let every connection end with a whole line, and wait until the server has settled all."""
    sent = senders.finish()
    tier.await_settled()
    return sent
