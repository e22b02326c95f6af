"""The canonical event, and samples of it to try a server with.

An event is fapilog's envelope v1.1 without its wrapping; top-level keys beyond these are kept by
the server, but have no meaning here.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import msgspec


class Event(msgspec.Struct, kw_only=True):
    """One event as it is sent and stored."""

    timestamp: str
    level: str
    message: str
    logger: str
    context: dict[str, Any] = {}
    diagnostics: dict[str, Any] = {}
    data: dict[str, Any] = {}


class Samples:
    """Makes lines of sample events, each about 320 bytes and with a request id of its own.

    Encoding every event would be slower than many servers are at reading them, so a few hundred
    are encoded once, with a gap for the time and one for the number.
    """

    _VARIETY = 512
    _PATHS = ("/api/v1/orders", "/api/v1/cart", "/login", "/search", "/static/app.js", "/health")
    _LOGGERS = ("shop.http", "shop.payment", "shop.auth", "shop.search")
    _LEVELS = ("INFO",) * 7 + ("DEBUG", "WARNING", "ERROR")
    _STATUSES = (200,) * 6 + (201, 304, 404, 500)

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - sample data, not secrets
        self._templates = [self._make_template(chance) for _ in range(self._VARIETY)]

    def lines(self, first: int, count: int) -> list[bytes]:
        """Return the samples numbered from `first` on, without line ends, all with this time."""
        now = datetime.now(UTC).isoformat(timespec="microseconds").encode()
        templates, variety = self._templates, self._VARIETY
        return [templates[n % variety] % (now, n) for n in range(first, first + count)]

    def _make_template(self, chance: random.Random) -> bytes:
        path, status = chance.choice(self._PATHS), chance.choice(self._STATUSES)
        duration = round(chance.lognormvariate(2.0, 1.0), 3)
        event = Event(
            timestamp="%b",
            level=chance.choice(self._LEVELS),
            logger=chance.choice(self._LOGGERS),
            message=f"GET {path} answered {status}",
            context={
                "request_id": f"{chance.getrandbits(32):08x}-%010d",
                "trace_id": f"{chance.getrandbits(128):032x}",
            },
            data={
                "ip": f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}",
                "path": path,
                "status": status,
                "duration_ms": duration,
                "password": f"hunter{chance.randrange(100)}",
            },
        )
        return msgspec.json.encode(event)
