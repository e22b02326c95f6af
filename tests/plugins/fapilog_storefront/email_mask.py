"""Mask e-mail addresses wherever they stand in an event."""

from __future__ import annotations

import re
from typing import Any

from fapilog.plugins import parse_plugin_config
from pydantic import BaseModel, ConfigDict

PLUGIN_METADATA = {
    "name": "email_mask",
    "version": "2.1.0",
    "description": "Masks e-mail addresses inside of strings.",
    "author": "Storefront Ltd",
    "plugin_type": "redactor",
    "entry_point": "fapilog_storefront.email_mask:EmailMaskRedactor",
    "compatibility": {"min_fapilog_version": "0.18.0"},
    "api_version": "1.0",
}

_ADDRESS = re.compile(r"[\w.+-]+@((?:[\w-]+\.)+[a-zA-Z]{2,})")


class EmailMaskConfig(BaseModel):
    """How to mask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mask: str = "<e-mail>"
    keep_domain: bool = False


class EmailMaskRedactor:
    """Replaces addresses by a mask; their domain can be kept."""

    name = "email_mask"

    def __init__(
        self, *, config: EmailMaskConfig | dict[str, Any] | None = None, **kwargs: object
    ) -> None:
        settings = parse_plugin_config(EmailMaskConfig, config, **kwargs)
        self._replacement = settings.mask + (r"@\1" if settings.keep_domain else "")
        self.last_redacted_count = 0

    async def redact(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return the event without addresses."""
        self.last_redacted_count = 0
        return {key: self._masked(item) for key, item in event.items()}

    def _masked(self, value: object) -> object:
        if isinstance(value, dict):
            return {key: self._masked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._masked(item) for item in value]
        if isinstance(value, str):
            value, count = _ADDRESS.subn(self._replacement, value)
            self.last_redacted_count += count
        return value
