"""One trial: a fresh server under load, some rounds of one fault, and what became of the events."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from random import Random

import msgspec

from bench.generator import Sending
from chaos import judge, oracle
from chaos.fault import Fault
from chaos.judge import Verdict
from chaos.tier import Tier

_CLOSE_SECONDS = 30.0
_FINISH_SECONDS = 60.0
"""The longest that senders may take to hand over what they have begun, and to be closed."""
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
    directory = Path(tempfile.mkdtemp(dir=plan.directory, prefix=f"chaos-{kind.name}-"))
    chance = Random(f"{plan.seed} {kind.name} {number}")
    fault = kind(directory)
    tier = Tier(
        directory / "data",
        transport=kind.transport,
        pipeline=kind.pipeline,
        workers=plan.workers,
        environment=fault.environment(),
        wrapper=fault.wrapper(),
    )
    keep = False
    try:
        verdict = _run(plan, fault, tier, rounds, chance)
        keep = plan.keep and bool(verdict.wrong)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        verdict = judge.failed(kind, tier.rounds, str(error))
        keep = plan.keep
    finally:
        fault.close()
        if keep:
            print(f"  kept: {directory}")
        else:
            shutil.rmtree(directory)
    return verdict


def _run(plan: Plan, fault: Fault, tier: Tier, rounds: int, chance: Random) -> Verdict:
    record = fault.directory / "record"
    with tier, _send(plan, fault, tier, record) as senders:
        tier.await_intake()
        while tier.rounds < rounds and time.monotonic() < plan.deadline:
            time.sleep(chance.uniform(_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS))
            fault.strike(tier, chance)
            tier.await_intake()
            tier.rounds += 1
        # Every connection ends with a whole line.
        sent = senders.finish(_FINISH_SECONDS)
        tier.await_settled()
        tier.stop()
    # Before it gives back what had been deleted, perhaps without a seal.
    complaint = oracle.verify(tier.data_dir)
    fault.restore()
    return judge.judge(
        type(fault),
        tier.rounds,
        sent=sent,
        history=tier.history,
        found=oracle.audit(tier.data_dir, sent, record),
        complaint=complaint,
    )


def _send(plan: Plan, fault: Fault, tier: Tier, record: Path) -> Sending:
    return Sending(
        fault.transport,
        tier.address,
        connections=plan.connections,
        events=None,
        rate=min(plan.rate, fault.most_rate),
        await_close_seconds=_CLOSE_SECONDS,
        record=record,
    )
