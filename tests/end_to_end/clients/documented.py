"""The configurations of docs/senders.md: what people copy is what the tests run."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "senders.md"
BLOCK = r'^```\w+ title="{title}"\n(.*?)^```$'
SERVER = re.compile(r'(?<!Peers=")logs\.example\.com')
"""The server where it is connected to, not where its certificate is checked."""


def block(title: str) -> str:
    """Return a block of the page as it stands there."""
    found = re.search(
        BLOCK.format(title=re.escape(title)), PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert found, f"{PAGE.name} has no block with the title {title}"
    return found[1]


def configuration(title: str, port: int, directory: Path) -> str:
    """Return a block that sends to this machine instead of to `logs.example.com`.

    `/etc/ingest` and `/run/ingest` are that directory.
    """
    text = SERVER.sub("127.0.0.1", block(title))
    text = re.sub(r"\b(5140|6514)\b", str(port), text)
    return in_directory(text, directory)


def in_directory(text: str, directory: Path) -> str:
    """Return a configuration whose files are in one directory."""
    return re.sub("/(etc|run)/ingest", str(directory), text)
