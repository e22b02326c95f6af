"""fapilog plugins of a shop: health checks, owners, e-mail addresses, checksums."""

__version__ = "2.1.0"
