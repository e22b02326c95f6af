"""fapilog's own classes where they mean what our native kernels mean: the pipeline's oracle.

What is overridden is what is unsafe on a server: guards behind which nothing is redacted (the
server bounds events itself), failures that are swallowed, a trace id that is not found. Importing
this imports fapilog, which takes most of a second.
"""

from __future__ import annotations

import re
import sys
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from fapilog.plugins.enrichers.kubernetes import KubernetesEnricher
from fapilog.plugins.filters.trace_sampling import TraceSamplingFilter
from fapilog.plugins.redactors.field_blocker import FieldBlockerRedactor
from fapilog.plugins.redactors.field_mask import FieldMaskRedactor
from fapilog.plugins.redactors.regex_mask import RegexMaskRedactor
from fapilog.plugins.redactors.string_truncate import StringTruncateRedactor
from fapilog.plugins.redactors.url_credentials import _URL_SCHEMES, UrlCredentialsRedactor

from ingest.contract import StageKind
from ingest.pipeline.contracts import Event, Json
from ingest.pipeline.origin import Origin

__all__ = [
    "OVERRIDES",
    "FieldBlocker",
    "FieldMask",
    "Kubernetes",
    "Origin",
    "RegexMask",
    "StringTruncate",
    "TraceSampling",
    "UrlCredentials",
]

Setting = Any
"""As in fapilog's configuration, which its classes check."""

_UNBOUNDED = sys.maxsize
_CONTAINERS = (dict, list)
_MAXIMUM_PATHS = 16_384
_LONGEST_PATH = 512
"""Of the paths of events that are remembered: senders make them up."""
_REMOVED = str.maketrans("", "", "\t\r\n")
"""What Python takes out of a URL wherever it is."""


class TraceSampling(TraceSamplingFilter):
    """Finds the trace id where events have it: in `context`, if not at the top."""

    async def filter(self, event: Event) -> Event | None:
        """Return the event, or None to drop it."""
        if event.get(self._trace_field) is None:
            context = event.get("context")
            trace_id = context.get(self._trace_field) if isinstance(context, dict) else None
            if trace_id is not None:
                probe = {"level": event.get("level", "INFO"), self._trace_field: trace_id}
                return None if await super().filter(probe) is None else event
        return await super().filter(event)


class Kubernetes(KubernetesEnricher):
    """Adds nothing where there is nothing to say, not even an empty group."""

    async def enrich(self, event: Event) -> Event:
        """Return the members of `diagnostics`, if there are any."""
        added: Event = await super().enrich(event)
        return added if added.get("diagnostics") else {}


class _PlainPath(list[str]):
    """A path of nothing but keys: no wildcard, no index."""

    @staticmethod
    def where_plain(path: list[str]) -> list[str]:
        """Return the path as a plain one, if it is."""
        has_special = any(key == "*" or key.endswith("[*]") or key.isdigit() for key in path)
        return path if has_special or not path else _PlainPath(path)


class FieldMask(FieldMaskRedactor):
    """Masks however deep and large the event is; plain paths through objects by a short cut."""

    def __init__(self, **config: Setting) -> None:
        super().__init__(**config)
        self._max_depth = self._max_scanned = _UNBOUNDED
        self._fields = [_PlainPath.where_plain(path) for path in self._fields]

    def _apply_mask(self, root: Event, path: list[str]) -> tuple[bool, int]:
        if not isinstance(path, _PlainPath):
            return super()._apply_mask(root, path)
        container = root
        for key in path[:-1]:
            value = container.get(key)
            if not isinstance(value, dict):
                return super()._apply_mask(root, path) if isinstance(value, list) else (False, 0)
            container = value
        last = path[-1]
        if last not in container or container[last] == self._mask:
            return False, 0
        container[last] = self._mask
        return False, 1


class _KnownPaths(dict[str, bool]):
    """Says of a path whether any of the patterns matches it; they are asked once per path."""

    def __init__(self, patterns: list[re.Pattern[str]]) -> None:
        super().__init__()
        self._patterns = patterns

    def __missing__(self, path: str) -> bool:
        matches = any(pattern.fullmatch(path) for pattern in self._patterns)
        if len(path) <= _LONGEST_PATH:
            if len(self) >= _MAXIMUM_PATHS:
                self.clear()
            self[path] = matches
        return matches


class RegexMask(RegexMaskRedactor):
    """Masks however deep and large the event is; refuses patterns that it could not apply.

    The walk is its own: fapilog's asks every pattern at every key, and leaves cycles for the
    garbage collector behind.
    """

    def __init__(self, **config: Setting) -> None:
        super().__init__(**config)
        if self._pattern_errors:
            raise ValueError(f"patterns cannot be used: {'; '.join(self._pattern_errors)}")
        self._known = _KnownPaths(self._patterns)

    def _apply_regex_masks(self, root: Event) -> int:
        return self._walk(root, "") if self._patterns else 0

    def _walk(self, container: Json, prefix: str) -> int:
        masked = 0
        if isinstance(container, list):
            for item in container:
                if isinstance(item, _CONTAINERS):
                    masked += self._walk(item, prefix)
            return masked
        known = self._known
        for key, value in container.items():
            path = prefix + key
            if known[path]:
                if value != self._mask:
                    container[key] = self._mask
                    masked += 1
            elif isinstance(value, _CONTAINERS):
                masked += self._walk(value, path + ".")
        return masked


class FieldBlocker(FieldBlockerRedactor):
    """Blocks however deep and large the event is."""

    def __init__(self, **config: Setting) -> None:
        super().__init__(**config)
        self._max_depth = self._max_scanned = _UNBOUNDED


class StringTruncate(StringTruncateRedactor):
    """Truncates however deep and large the event is."""

    def __init__(self, **config: Setting) -> None:
        super().__init__(**config)
        self._max_depth = self._max_scanned = _UNBOUNDED


class UrlCredentials(UrlCredentialsRedactor):
    """Strips credentials from strings of any length, and from URLs that Python cannot read.

    Brackets around an address stay, and a path never moves to the place of an empty host.
    """

    def __init__(self, **config: Setting) -> None:
        super().__init__(**config)
        self._max_len = self._max_depth = self._max_scanned = _UNBOUNDED

    async def redact(self, event: Event) -> Event:
        """Return the event without credentials; fapilog would swallow a failure here."""
        self.last_redacted_count = 0
        root = dict(event)
        self._strip_credentials(root, depth=0, scanned=0)
        return root

    def _scrub_string(self, value: str) -> str:
        # Nothing can be stripped without the sign, and looking for it is quick.
        if "@" not in value or not value.startswith(_URL_SCHEMES):
            return value
        try:
            parts = urlsplit(value)
            if not (parts.username or parts.password):
                return value
            return _put_together(parts, parts.hostname or "", parts.port)
        except ValueError:
            return _without_userinfo(value)


def _put_together(parts: SplitResult, host: str, port: int | None) -> str:
    if host and "[" in parts.netloc.rpartition("@")[2]:
        host = f"[{host}]"
    netloc = f"{host}:{port}" if port else host
    if netloc or not parts.path.startswith("//"):
        return urlunsplit(parts._replace(netloc=netloc))
    behind = urlunsplit(("", "", "", parts.query, parts.fragment))
    return f"{parts.scheme}{':' if parts.scheme else ''}//{parts.path}{behind}"


def _without_userinfo(value: str) -> str:
    """Strip what Python cannot read of everything up to the last @ of the authority."""
    before, slashes, behind = value.partition("//")
    authority = re.split("[/?#]", behind, maxsplit=1)[0]
    userinfo, _, host = authority.rpartition("@")
    if userinfo.translate(_REMOVED) in {"", ":"}:
        return value
    return before + slashes + host + behind[len(authority) :]


OVERRIDES: dict[tuple[StageKind, str], type] = {
    ("enricher", "kubernetes"): Kubernetes,
    ("filter", "trace_sampling"): TraceSampling,
    ("redactor", "field_mask"): FieldMask,
    ("redactor", "regex_mask"): RegexMask,
    ("redactor", "url_credentials"): UrlCredentials,
    ("redactor", "field_blocker"): FieldBlocker,
    ("redactor", "string_truncate"): StringTruncate,
}
"""What takes the place of a built-in of fapilog, by kind and name."""
