"""Add a checksum to serialized events."""

from __future__ import annotations

import zlib

PLUGIN_METADATA = {
    "name": "checksum",
    "version": "2.1.0",
    "description": "Adds a CRC-32 of the serialized event as its last member.",
    "author": "Storefront Ltd",
    "plugin_type": "processor",
    "entry_point": "fapilog_storefront.checksum:ChecksumProcessor",
    "compatibility": {"min_fapilog_version": "0.18.0"},
    "api_version": "1.0",
}


class ChecksumProcessor:
    """Whoever takes the member away again has the bytes that it is the checksum of."""

    name = "checksum"

    async def process(self, view: memoryview) -> memoryview:
        """Return the bytes of an object with one member more."""
        member = b'"crc32":"%08x"}' % zlib.crc32(view)
        comma = b"," if len(view) > len(b"{}") else b""
        return memoryview(bytes(view[:-1]) + comma + member)
