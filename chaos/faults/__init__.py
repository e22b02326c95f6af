"""All faults, in the order of the table."""

from __future__ import annotations

from chaos.fault import Fault
from chaos.faults.kills import KillTree, KillWorker

FAULTS: list[type[Fault]] = [KillWorker, KillTree]

BY_NAME = {fault.name: fault for fault in FAULTS}
