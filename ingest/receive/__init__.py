"""Drives the native intake from the worker's event loop."""

from ingest.receive.intake import Intake

__all__ = ["Intake"]
