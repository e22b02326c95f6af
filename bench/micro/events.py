"""The events that the parts are given: the same in every run, so that commits can be compared."""

from __future__ import annotations

import random

COUNT = 256
"""How many there are: a batch that fits the cache of a core."""

_LOGGERS = ("shop.checkout", "shop.cart", "auth.session", "gateway.proxy")
_LEVELS = ("INFO", "INFO", "WARNING", "ERROR", "DEBUG")
_SEED = 320


def lines() -> list[bytes]:
    """Return events of about 320 bytes, as the load generator sends them."""
    chance = random.Random(_SEED)
    return [_event(number, chance).encode() for number in range(COUNT)]


def by_line() -> bytes:
    """Return all of them as one body, each ended by a newline."""
    return b"".join(line + b"\n" for line in lines())


def by_octet_count() -> bytes:
    """Return all of them as one body, each behind its length (RFC 6587)."""
    return b"".join(b"%d %b" % (len(line), line) for line in lines())


def syslog() -> bytes:
    """Return as many messages of RFC 5424, each ended by a newline."""
    chance = random.Random(_SEED)
    return b"".join(
        b"<14>1 2026-11-26T09:16:16.774050Z host-%d checkout %d ID47"
        b' [request@32473 id="%032x"] request %d completed in %d ms\n'
        % (number % 9, number, chance.getrandbits(128), number, chance.randrange(900))
        for number in range(COUNT)
    )


def _event(number: int, chance: random.Random) -> str:
    return (
        '{"timestamp":"2026-11-26T09:16:16.774050Z",'
        f'"level":"{_LEVELS[number % len(_LEVELS)]}",'
        f'"logger":"{_LOGGERS[number % len(_LOGGERS)]}","message":"request completed",'
        f'"context":{{"request_id":"00-00000-{number:010d}",'
        f'"trace_id":"{chance.getrandbits(128):032x}"}},'
        f'"data":{{"ip":"203.0.113.{chance.randrange(256)}",'
        f'"path":"/v1/orders/{chance.randrange(1_000_000)}","status":200,'
        f'"duration":{chance.random():.6f},"password":"horse-{chance.getrandbits(16):04x}"}}}}'
    )
