"""What tests of the configuration share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit import acme


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the variables that are settings, or would make this machine a pod."""
    for name in list(os.environ):
        if name.startswith("INGEST_") or name.endswith("_NAME"):
            monkeypatch.delenv(name)


@pytest.fixture
def acme_plugins(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the plugins of `acme` where child processes find them."""
    directory = tmp_path_factory.mktemp("acme")
    acme.install(directory)
    monkeypatch.setenv("PYTHONPATH", str(directory))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where a test may write its configuration."""
    return tmp_path / "ingest.toml"
