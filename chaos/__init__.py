"""Fault tests as a product: the real server under load, faults, and an independent oracle."""
