"""Drives the native intake from the worker's event loop."""

from ingest.receive.intake import Answer, Intake

__all__ = ["Answer", "Intake"]
