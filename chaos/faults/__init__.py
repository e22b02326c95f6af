"""All faults, in the order of the table."""

from __future__ import annotations

from chaos.fault import Fault
from chaos.faults.clocks import JumpClock
from chaos.faults.kills import (
    KillAdmin,
    KillAllWorkers,
    KillAny,
    KillHolder,
    KillRecovering,
    KillReplacing,
    KillSupervisor,
    KillTree,
    KillWorker,
    KillWorkerAndHolder,
    KillWorkerOfDatagrams,
    KillWorkerWithPlugin,
    KillWorkerWithTls,
)
from chaos.faults.limits import ExhaustDescriptors, ExhaustMemory
from chaos.faults.stops import PauseWorker, StopSupervisor, StopWorker

FAULTS: list[type[Fault]] = [
    KillWorker,
    KillWorkerOfDatagrams,
    KillWorkerWithTls,
    KillWorkerWithPlugin,
    KillAllWorkers,
    KillRecovering,
    KillReplacing,
    KillHolder,
    KillWorkerAndHolder,
    KillAdmin,
    KillSupervisor,
    KillAny,
    KillTree,
    StopWorker,
    PauseWorker,
    StopSupervisor,
    JumpClock,
    ExhaustDescriptors,
    ExhaustMemory,
]

BY_NAME = {fault.name: fault for fault in FAULTS}
