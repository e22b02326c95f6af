"""What the clients are made to send: every severity, and texts that are easily misread."""

from __future__ import annotations

from typing import NamedTuple

COUNT = 200
FACILITY = 19
"""local3"""
SEVERITIES = (
    ("emergency", "CRITICAL"),
    ("alert", "CRITICAL"),
    ("critical", "CRITICAL"),
    ("error", "ERROR"),
    ("warning", "WARNING"),
    ("notice", "INFO"),
    ("informational", "INFO"),
    ("debug", "DEBUG"),
)
"""The names in `diagnostics.severity`, by number, and the levels."""
TEXTS = (
    "the disk is full",
    "платёж отклонён 💳",
    'a "quotation", a \\ and [brackets]',
    "17 begins like a count of octets",
    "<13>begins like another message",
    "{begins like} JSON",
    "100 % and {braces}",
    "long " + "x" * 700,
)


class Message(NamedTuple):
    """A message, and what becomes of its severity."""

    severity: int
    text: str

    @property
    def prefixed(self) -> str:
        """The message with its priority, as `logger --prio-prefix` reads it."""
        return f"<{FACILITY * 8 + self.severity}>{self.text}"

    def event(self) -> dict[str, object]:
        """Return the event without what tells senders and times apart."""
        severity, level = SEVERITIES[self.severity]
        return {
            "level": level,
            "message": self.text,
            "logger": "checkout",
            "diagnostics": {"facility": "local3", "severity": severity},
        }


MESSAGES = [
    Message(number % len(SEVERITIES), f"{TEXTS[number // len(SEVERITIES) % len(TEXTS)]} ({number})")
    for number in range(COUNT)
]
PREFIXED = "".join(f"{message.prefixed}\n" for message in MESSAGES).encode()
