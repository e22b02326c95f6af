"""Drives the native intake from the worker's event loop, and tells sources what is durable."""

from ingest.receive.durability import Durability
from ingest.receive.intake import Answer, Intake

__all__ = ["Answer", "Durability", "Intake"]
