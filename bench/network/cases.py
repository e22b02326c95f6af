"""The cases of the network edge by name."""

from __future__ import annotations

from collections.abc import Callable

from bench.network import balance, hostile, many, reload
from bench.network.balance import BalanceCase
from bench.network.hostile import HostileCase
from bench.network.many import ManyCase
from bench.network.plan import NetworkPlan
from bench.network.reload import ReloadCase

NetworkCase = BalanceCase | ManyCase | HostileCase | ReloadCase
_Measure = Callable[[NetworkPlan, Callable[[str], None]], NetworkCase]

CASES: dict[str, _Measure] = {
    "balance": balance.measure,
    "many": many.measure,
    "hostile": hostile.measure,
    "reload": reload.measure,
}
