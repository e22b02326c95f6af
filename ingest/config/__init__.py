"""The configuration: what may be said, where it may be said, and what a mistake reads like."""

from ingest.config.limits import Limits, ListenerLimits
from ingest.config.listeners import Listener, ListenerTls
from ingest.config.loading import load, load_with_notes
from ingest.config.models import Admin, Journal, Log, Settings, Supervision
from ingest.config.pipeline import Pipeline
from ingest.config.rendering import render_toml

__all__ = [
    "Admin",
    "Journal",
    "Limits",
    "Listener",
    "ListenerLimits",
    "ListenerTls",
    "Log",
    "Pipeline",
    "Settings",
    "Supervision",
    "load",
    "load_with_notes",
    "render_toml",
]
