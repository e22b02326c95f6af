"""The cases of the network edge by name."""

from __future__ import annotations

from collections.abc import Callable

from bench.network import balance, datagrams, hostile, many, reload, syslog, tls
from bench.network.balance import BalanceCase
from bench.network.datagrams import DatagramCase
from bench.network.hostile import HostileCase
from bench.network.many import ManyCase
from bench.network.plan import NetworkPlan
from bench.network.reload import ReloadCase
from bench.network.syslog import SyslogCase
from bench.network.tls import TlsCase

NetworkCase = (
    SyslogCase | DatagramCase | TlsCase | BalanceCase | ManyCase | HostileCase | ReloadCase
)
_Measure = Callable[[NetworkPlan, Callable[[str], None]], NetworkCase]

CASES: dict[str, _Measure] = {
    "syslog-5424": lambda plan, tell: syslog.measure(plan, "rfc5424", tell),
    "syslog-3164": lambda plan, tell: syslog.measure(plan, "rfc3164", tell),
    "udp-1": lambda plan, tell: datagrams.measure(plan, 1, tell),
    "udp-50": lambda plan, tell: datagrams.measure(plan, 50, tell),
    "tls": tls.measure,
    "balance": balance.measure,
    "many": many.measure,
    "hostile": hostile.measure,
    "reload": reload.measure,
}
