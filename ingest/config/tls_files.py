"""The files of TLS listeners: found wrong before the first socket is bound."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ingest._native import check_tls
from ingest.config.listeners import Listener, ListenerTls
from ingest.config.quantities import shown
from ingest.config.tables import ConflictError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s")
_KEY = re.compile(rb"-----BEGIN (?:RSA |EC )?PRIVATE KEY-----\s")
_ENCRYPTED_KEY = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----\s|Proc-Type: 4,ENCRYPTED")


def check_tls_files(listeners: Iterable[Listener]) -> None:
    """Raise ConflictError at the first file that cannot serve its purpose."""
    for at, listener in enumerate(listeners):
        if listener.tls is not None:
            for key, fault in _faults(listener.tls):
                raise ConflictError(("listeners", at, "tls", key), fault)
            try:
                check_tls(listener.tls.certificate, listener.tls.key, listener.tls.client_ca)
            except ValueError as error:
                raise ConflictError(("listeners", at, "tls"), str(error)) from None


def _faults(tls: ListenerTls) -> Iterator[tuple[str, str]]:
    """Yield the key and what is wrong with its file."""
    for key, name, wanted, words in (
        ("certificate", tls.certificate, _CERTIFICATE, "certificate"),
        ("key", tls.key, _KEY, "private key"),
        ("client_ca", tls.client_ca, _CERTIFICATE, "certificate"),
    ):
        if name is None:
            continue
        try:
            content = Path(name).read_bytes()
        except OSError as error:
            yield key, f"{shown(name)} cannot be read: {error.strerror}"
            continue
        if key == "key" and _ENCRYPTED_KEY.search(content):
            yield key, f"{shown(name)} needs a password; give a key without one"
        elif not wanted.search(content):
            yield key, f"{shown(name)} holds no {words} in PEM form"
