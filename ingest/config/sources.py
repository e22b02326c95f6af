"""The places that settings come from, and what each is called in an error."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic_settings import EnvSettingsSource, SettingsError

from ingest.config.catalogue import kind_at, suggestion
from ingest.config.flags import FLAG_OF_KEY
from ingest.config.models import Settings
from ingest.errors import ConfigurationError

_PREFIX = "INGEST_"
_KUBERNETES = re.compile(r"INGEST_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)")
"""What Kubernetes puts into every container beside services called `ingest` or `ingest-…`."""


class Source(Protocol):
    """A place that settings come from."""

    values: Mapping[str, Any]
    """What it says, nested like the settings."""

    def name_of(self, path: Sequence[str | int]) -> str:
        """Return what the user should look at to find the key at the path."""


class Flags:
    """The command line."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def name_of(self, path: Sequence[str | int]) -> str:
        """Return the flag."""
        if path[0] == "listeners" and len(path) > 1:
            return f"--{self.values['listeners'][path[1]]['kind']}"
        return FLAG_OF_KEY.get(tuple(str(part) for part in path), "command line")


class Environment:
    """The variables that begin with `INGEST_`."""

    def __init__(self) -> None:
        for name in sorted(os.environ):
            if name.startswith(_PREFIX) and not _KUBERNETES.match(name):
                _refuse_unknown(name)
        try:
            self.values: Mapping[str, Any] = EnvSettingsSource(Settings)()
        except SettingsError as error:
            field = re.search(r'"(\w+)"', str(error))
            raise ConfigurationError(_not_json(field[1] if field else "settings")) from None

    def name_of(self, path: Sequence[str | int]) -> str:
        """Return the variable of the key, or the one that holds its table as JSON."""
        for length in range(len(path), 0, -1):
            if (name := _variable(path[:length])) in os.environ:
                return name
        return "environment"


class File:
    """The TOML file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with file.open("rb") as stream:
                self.values: Mapping[str, Any] = tomllib.load(stream)
        except OSError as error:
            raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{file}: is not valid TOML: {error}") from None
        except RecursionError:
            raise ConfigurationError(f"{file}: nests lists or tables too deeply") from None

    def name_of(self, path: Sequence[str | int]) -> str:
        """Return the file, wherever in it the key stands."""
        del path
        return str(self.file)


def _variable(path: Sequence[str | int]) -> str:
    return _PREFIX + "__".join(str(part) for part in path).upper()


def _not_json(key: str) -> str:
    """Say which of the variables of a table or list cannot be read."""
    for name in sorted(os.environ):
        path = name[len(_PREFIX) :].lower().split("__")
        if not name.startswith(_PREFIX) or path[0] != key or len(path) == 1:
            continue
        kind = kind_at(path)
        if kind.startswith("list") and not _is_json(os.environ[name]):
            return f'{name}: {".".join(path)}: is not JSON; write the list like ["one", "two"]'
    return (
        f"{_variable([key])}: {key}: is not JSON; write the table or list as JSON,"
        f" or a single key as {_variable([key, 'key'])}"
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _refuse_unknown(name: str) -> None:
    """Check the first level of a variable; pydantic-settings passes over those it does not know."""
    key = name[len(_PREFIX) :].lower().split("__")[0]
    if key not in Settings.model_fields:
        raise ConfigurationError(f"{name}: {key}: {suggestion(key, Settings)}")
