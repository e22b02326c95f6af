"""The configuration: what may be said, where it may be said, and what a mistake reads like."""

from ingest.config.loading import load
from ingest.config.models import (
    Admin,
    Journal,
    Limits,
    Listener,
    Log,
    Settings,
    Supervision,
)
from ingest.config.rendering import render_toml

__all__ = [
    "Admin",
    "Journal",
    "Limits",
    "Listener",
    "Log",
    "Settings",
    "Supervision",
    "load",
    "render_toml",
]
