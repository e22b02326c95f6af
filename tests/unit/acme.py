"""A distribution with fapilog plugins, good and bad ones, written where a test wants it."""

from __future__ import annotations

from pathlib import Path

MODULE = '''
"""Plugins of a third party."""

import os
import threading
import time

from pydantic import BaseModel

PLUGIN_METADATA = {
    "name": "acme_tagger",
    "version": "1.2.3",
    "description": "Adds  a\\ntag.",
    "config_schema": {"type": "object"},
}
print("a plugin may print where answers are expected")


class Tagger:
    name = "acme_tagger"

    def __init__(self, tag="acme", healthy=True):
        if not isinstance(tag, str):
            raise TypeError("tag has to be a text")
        self._tag = tag
        self._healthy = healthy
        threading.Thread(target=time.sleep, args=(600,)).start()

    async def enrich(self, event):
        return {"data": {"tag": self._tag}}

    async def health_check(self):
        return self._healthy


class Needy:
    name = "needy"

    def __init__(self, key):
        self._key = key

    async def enrich(self, event):
        return {}


class Settings(BaseModel, extra="forbid"):
    words: list[str]


class Scrubber:
    name = "scrubber"

    def __init__(self, config):
        self._settings = Settings.model_validate(config)

    async def redact(self, event):
        return event


class Synchronous:
    name = "synchronous"

    def filter(self, event):
        return event


class Crash:
    name = "crash"

    def __init__(self):
        os.write(2, b"about to crash\\n")
        os.abort()


class Sleeper:
    name = "sleeper"

    def __init__(self):
        time.sleep(600)
'''
ENTRY_POINTS = """
[fapilog.enrichers]
acme-tagger = acme_plugins:Tagger
needy = acme_plugins:Needy
missing = acme_plugins:NotThere
"""


def install(directory: Path) -> None:
    """Write the distribution into a directory that is or will be on PYTHONPATH."""
    (directory / "acme_plugins.py").write_text(MODULE)
    metadata = directory / "acme_plugins-4.5.6.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-plugins\nVersion: 4.5.6\n"
    )
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
